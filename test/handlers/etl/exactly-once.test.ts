import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { EtlSettings } from "../../../lib/handlers/etl/settings.ts";
import type { OperatorModule } from "../../../lib/handlers/etl/user-code.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { StreamRecord } from "../../../lib/runtime/events.ts";
import { claimer, Faults, invoke, Killed, linksOf, record, Stores, settingsOf, textsOf } from "./world.ts";

/** Every seventh record is poison, every fifth is dropped, every eleventh becomes two. */
const operators: OperatorModule = {
  operator: ({ value }: { readonly value: { readonly n: number } }) => {
    const { n } = value;
    if (n % 7 === 3) throw new Error(`poison ${n}`);
    if (n % 5 === 4) return undefined;
    return n % 11 === 6 ? [{ n }, { n, second: true }] : { n };
  },
};

const COUNT = 60;
/** Offsets have gaps, and keys repeat. */
const records = Array.from({ length: COUNT }, (_, n) => record(n * 2 + 10, { n }, { key: `k${n % 4}` }));

const isPoison = (n: number) => n % 7 === 3;
const wanted = Array.from({ length: COUNT }, (_, n) => n).flatMap((n) => {
  if (isPoison(n) || n % 5 === 4) return [];
  return n % 11 === 6 ? [JSON.stringify({ n }), JSON.stringify({ n, second: true })] : [JSON.stringify({ n })];
});
const poisoned = records.filter((_, n) => isPoison(n)).map(({ offset }) => offset);

type Sink = Pick<EtlSettings, "to" | "deadLetters"> & Partial<EtlSettings>;
const SINKS: readonly Sink[] = [
  { to: "same-kafka", deadLetters: "same-kafka" },
  { to: "same-kafka", deadLetters: "queue" },
  { to: "bucket", deadLetters: "queue" },
  { to: "bucket", deadLetters: "queue", places: "table" },
  { to: "bucket", deadLetters: "stream", objects: { prefix: "in/", gzip: true } },
  { to: "queue", deadLetters: "queue" },
  { to: "queue", deadLetters: "same-kafka" },
  { to: "queue", deadLetters: "queue", key: "$string(n) & ($exists(second) ? '!' : '')" },
  { to: "function", deadLetters: "queue" },
  { to: "stream", deadLetters: "stream" },
];
const titleOf = ({ to, deadLetters, key, places }: Sink) =>
  `to ${to}, dead letters to ${deadLetters}${key ? ", by key" : ""}${places ? `, places in a ${places}` : ""}`;

/** What there is in a destination, with its duplicates; by which name a duplicate is known. */
interface View {
  readonly outputs: readonly string[];
  readonly letters: readonly number[];
}

function viewOf({ out, dead, queues, objects, invoked }: Stores, { to, deadLetters }: Sink): View {
  const lines = [...objects]
    .filter(([key]) => key.includes("orders/0/"))
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .flatMap(([key, { body }]) => (key.endsWith(".gz") ? gunzipSync(body) : Buffer.from(body)).toString().split("\n"))
    .filter((line) => line !== "");
  const outputs = {
    "same-kafka": textsOf(out.records),
    stream: textsOf(out.records),
    bucket: lines,
    queue: queues.out.map(({ body }) => body),
    result: [],
    function: invoked.map((payload) => JSON.stringify((payload as { value: unknown }).value)),
  };
  const letters =
    deadLetters === "queue"
      ? queues.dead.map(({ body }) => (JSON.parse(body) as { record: StreamRecord }).record.offset)
      : dead.records.map(({ headers }) => Number(headers!["millrace-offset"]));
  return { outputs: outputs[to], letters };
}

const isExact = ({ to }: Sink): boolean => to === "same-kafka" || to === "bucket";
const lettersAreExact = ({ to, deadLetters }: Sink): boolean =>
  deadLetters === "same-kafka" && (to === "same-kafka" || to === "queue");

/** Records behind each other again, cut anew; as platforms do it, from the last one that was answered. */
function* cuts(random: () => number): Generator<readonly StreamRecord[], void> {
  let at = 0;
  while (at < records.length) {
    const length = 1 + Math.floor(random() * 40);
    yield records.slice(at, at + length);
    at += length;
  }
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Gives everything, again from an earlier record with another cut after each failure; how often something failed. */
async function deliverAll(stores: Stores, sink: Sink, faults: Faults, random: () => number): Promise<number> {
  const settings = settingsOf({ ...sink, operators: [{ code: "operator" }] });
  let failures = 0;
  for (let tries = 0; tries < 300; tries += 1) {
    try {
      for (const batch of cuts(random)) {
        faults.isDead = false;
        await invoke(batch, { settings, code: { operator: operators }, links: linksOf(stores, settings, faults) });
      }
      return failures;
    } catch (error) {
      if (!(error instanceof Killed || (error instanceof MillraceError && error.kind === "unavailable"))) throw error;
      failures += 1;
    }
  }
  throw new Error("it never ends");
}

const distinct = <Value>(values: readonly Value[]): readonly Value[] => [...new Set(values)];
const sorted = (values: readonly string[]) => [...values].sort();

describe.each(SINKS.map((sink) => [titleOf(sink), sink] as const))("%s", (_, sink) => {
  test("all of it, once; in order where the destination has one", async () => {
    const stores = new Stores();
    const faults = new Faults();
    await deliverAll(stores, sink, faults, randomOf(1));
    // Everything again, cut otherwise.
    await deliverAll(stores, sink, faults, randomOf(2));
    const { outputs, letters } = viewOf(stores, sink);
    if (sink.to === "queue" || sink.to === "function") expect(sorted(outputs)).toEqual(sorted(wanted));
    else expect(outputs).toEqual(wanted);
    expect([...letters].sort((one, other) => one - other)).toEqual(poisoned);
  });

  test("killed at any call, before or after it was done, and given again with another cut", async () => {
    let kills = 0;
    for (let call = 1; call <= 60; call += 1) {
      for (const when of ["before", "after"] as const) {
        const stores = new Stores();
        const faults = new Faults();
        faults.killAt = [call, when];
        kills += await deliverAll(stores, sink, faults, randomOf(call));
        const { outputs, letters } = viewOf(stores, sink);
        const at = `${when} call ${call}`;
        expect(sorted(distinct(outputs)), at).toEqual(sorted(wanted));
        expect(
          distinct(letters).toSorted((one, other) => one - other),
          at,
        ).toEqual(poisoned);
        if (isExact(sink)) expect(outputs, at).toEqual(wanted);
        else expect(outputs.length - wanted.length, at).toBeLessThanOrEqual(sink.to === "stream" ? 40 : 16);
        expect(letters.length - poisoned.length, at).toBeLessThanOrEqual(lettersAreExact(sink) ? 0 : 16);
      }
    }
    expect(kills).toBeGreaterThan(5);
  });

  test("calls that are not answered, now and then: nothing is lost", async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const stores = new Stores();
      const faults = new Faults();
      const random = randomOf(seed);
      faults.unavailable = () => (random() < 0.05 ? (random() < 0.5 ? "before" : "after") : undefined);
      await deliverAll(stores, sink, faults, randomOf(seed + 100));
      const { outputs, letters } = viewOf(stores, sink);
      expect(sorted(distinct(outputs))).toEqual(sorted(wanted));
      expect(distinct(letters).toSorted((one, other) => one - other)).toEqual(poisoned);
      if (isExact(sink)) expect(outputs).toEqual(wanted);
    }
  });

  test("a zombie that goes on after another has done its work changes nothing that is exact", async () => {
    for (let call = 1; call <= 20; call += 1) {
      const stores = new Stores();
      const settings = settingsOf({ ...sink, operators: [{ code: "operator" }] });
      const code = { operator: operators };
      let wake = (): void => {};
      const paused = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const asleep = new Faults();
      const links = linksOf(stores, settings, pausing(asleep, call, paused));
      // Who is never asleep fights for the partition, and may give up.
      const zombie = invoke(records.slice(0, 25), { settings, code, links }).catch((error: MillraceError) => {
        if (error.kind !== "unavailable") throw error;
      });
      await deliverAll(stores, sink, new Faults(), randomOf(call));
      wake();
      await zombie;
      const { outputs, letters } = viewOf(stores, sink);
      if (isExact(sink)) expect(outputs).toEqual(wanted);
      else expect(sorted(distinct(outputs))).toEqual(sorted(wanted));
      if (lettersAreExact(sink)) expect(letters.toSorted((one, other) => one - other)).toEqual(poisoned);
    }
  });
});

/** Faults whose call of that number sleeps until it is woken. */
function pausing(faults: Faults, call: number, paused: Promise<void>): Faults {
  const { call: before } = faults;
  let number = 0;
  faults.call = async (work) => {
    number += 1;
    if (number === call) await paused;
    return before.call(faults, work) as never;
  };
  return faults;
}

test("two that work on one partition at once come to the same as one", async () => {
  for (const sink of SINKS.filter(isExact)) {
    const stores = new Stores();
    const settings = settingsOf({ ...sink, operators: [{ code: "operator" }] });
    const run = () => {
      const links = linksOf(stores, settings, new Faults());
      return invoke(records, { settings, code: { operator: operators }, links }).catch((error: MillraceError) => {
        if (error.kind !== "unavailable") throw error;
      });
    };
    await Promise.all([run(), run(), run()]);
    await run();
    expect(viewOf(stores, sink).outputs).toEqual(wanted);
  }
});

test("a batch all of which is dropped leaves an empty object, which takes its place", async () => {
  const stores = new Stores();
  const settings = settingsOf({ to: "bucket", deadLetters: "queue", operators: [{ code: "none" }] });
  const code = { none: { operator: () => undefined } };
  await invoke(records.slice(0, 5), { settings, code, links: linksOf(stores, settings, new Faults()) });
  expect([...stores.objects].map(([key, { info }]) => [key, info.size, info.metadata.next])).toEqual([
    ["orders/0/00000000000000000010.jsonl", 0, "19"],
  ]);
});

test("an object of somebody else in the way is told, and nothing is taken for done", async () => {
  const stores = new Stores();
  const settings = settingsOf({ to: "bucket", deadLetters: "queue" });
  const links = linksOf(stores, settings, new Faults());
  await (links.to as unknown as { put(key: string, body: Uint8Array): Promise<void> }).put(
    "orders/0/00000000000000000010.jsonl",
    new Uint8Array(),
  );
  await expect(invoke(records, { settings, links })).rejects.toThrow(/is none of this pipeline's/);
  expect(stores.source.places.get(0)?.next).toBeUndefined();
});

test("outputs of one key to a queue, from any partition: the first one is sent, the others are duplicates", async () => {
  const stores = new Stores();
  const settings = settingsOf({ to: "queue", deadLetters: "queue", key: "order.id" });
  const counts: Record<string, number> = {};
  const counted = (name: string, value: number) => {
    counts[name] = (counts[name] ?? 0) + value;
  };
  const orders = [1, 2, 1, 3].map((id, at) => record(at, { order: { id } }, { partition: at % 2 }));
  const links = linksOf(stores, settings, new Faults());
  expect(await invoke([...orders, record(9, { order: {} })], { settings, links, counted })).toEqual({
    ...{ records: 5, outputs: 3, failures: 1, duplicates: 1 },
  });
  expect(counts).toEqual({ records: 5, outputs: 3, failures: 1, duplicates: 1 });
  expect(sorted(stores.queues.out.map(({ deduplication }) => deduplication!))).toEqual(["1", "2", "3"]);
  expect(stores.queues.dead.map(({ body }) => JSON.parse(body))).toMatchObject([
    { record: { offset: 9 }, operator: "key", error: { kind: "bad-input" } },
  ]);
});

test("a partition that somebody else takes again and again is given back", async () => {
  const stores = new Stores();
  const settings = settingsOf();
  const links = linksOf(stores, settings, new Faults());
  const rival = claimer(stores.source, [], new Faults());
  const source = {
    stream: "orders",
    claim: async (partition: number) => {
      const claim = await links.source!.claim(partition);
      await rival.claim(partition);
      return claim;
    },
  };
  await expect(invoke(records, { settings, links: { ...links, source } })).rejects.toMatchObject({
    kind: "unavailable",
    message: "partition 0 of orders is being worked on by another",
  });
});
