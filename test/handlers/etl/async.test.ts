import { expect, test } from "vitest";
import type { ConnectorRecord } from "../../../lib/handlers/etl/records.ts";
import { handler as submit } from "../../../lib/handlers/etl/submit.ts";
import type { OperatorModule } from "../../../lib/handlers/etl/user-code.ts";
import { handler as work } from "../../../lib/handlers/etl/work.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { StreamRecord } from "../../../lib/runtime/events.ts";
import type { TaskSubmitter } from "../../../lib/runtime/ports.ts";
import type { Task } from "../../../lib/runtime/tasks/task.ts";
import {
  batch,
  claimer,
  contextOf,
  Faults,
  Killed,
  linksOf,
  record,
  Stores,
  settingsOf,
  table,
  textsOf,
} from "./world.ts";

const records = Array.from({ length: 60 }, (_, n) => record(n * 2 + 10, n, { partition: n % 2, key: `k${n % 4}` }));

/** Runs by their ids, as tasks keep them. */
function tasks(faults: Faults) {
  const runs = new Map<string, { readonly payload: readonly ConnectorRecord[]; readonly tags: Task["tags"] }>();
  const submitter: TaskSubmitter = {
    submit: (id, payload, { tags = {} } = {}) =>
      faults.call(() => {
        if (!runs.has(id)) runs.set(id, { payload: payload as readonly ConnectorRecord[], tags });
        return { id, tags: runs.get(id)!.tags } as Task;
      }),
  };
  return { runs, submitter };
}

/** Gives all records in batches of random lengths, once more from the beginning after every kill. */
async function submitAll(
  stores: Stores,
  task: TaskSubmitter,
  faults: Faults,
  places: "stream" | "table",
  seed: number,
) {
  const context = () =>
    contextOf(
      {
        ...(places === "stream"
          ? { source: claimer(stores.source, [], faults) }
          : { sent: table(stores.rows, faults) }),
        task,
      },
      { tries: 1 },
    );
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      for (let at = 0, length: number; at < records.length; at += length) {
        length = 1 + ((seed * 7 + tries * 13 + at * 5) % 23);
        faults.isDead = false;
        await submit(batch(records.slice(at, at + length)), context());
      }
      return;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
  }
  throw new Error("it never ends");
}

test.each(["stream", "table"] as const)(
  "runs have every record once, however often batches come again; places in a %s",
  async (places) => {
    for (let call = 1; call <= 40; call += 1) {
      for (const when of ["before", "after"] as const) {
        const stores = new Stores();
        const faults = new Faults();
        faults.killAt = [call, when];
        const { runs, submitter } = tasks(faults);
        await submitAll(stores, submitter, faults, places, call);
        await submitAll(stores, submitter, faults, places, call + 1);
        const offsets = [...runs.values()].flatMap(({ payload }) => payload.map(({ offset }) => offset));
        expect(offsets.toSorted((one, other) => one - other)).toEqual(records.map(({ offset }) => offset));
        for (const [id, { payload }] of runs)
          expect(new Set(payload.map(({ partition }) => partition)).size, id).toBe(1);
      }
    }
  },
);

test("a run is called by where it begins; one of somebody else in the way is told", async () => {
  const stores = new Stores();
  const { runs, submitter } = tasks(new Faults());
  const links = { source: claimer(stores.source, [], new Faults()), task: submitter };
  expect(await submit(batch(records.slice(0, 10)), contextOf(links, { tries: 1 }))).toEqual({
    ...{ runs: 2, records: 10, duplicates: 0 },
  });
  expect([...runs].map(([id, { tags }]) => [id, tags])).toEqual([
    ["orders-0-10", { stream: "orders", partition: "0", last: "26" }],
    ["orders-1-12", { stream: "orders", partition: "1", last: "28" }],
  ]);
  runs.set("orders-0-27", { payload: [], tags: {} });
  await expect(submit(batch(records), contextOf(links, { tries: 1 }))).rejects.toThrow(
    /was not submitted by this pipeline/,
  );
});

const double: OperatorModule = {
  operator: ({ value }: { readonly value: number }) => {
    if (value % 7 === 3) throw new Error("poison");
    return value * 2;
  },
};
const some = records.filter(({ partition }) => partition === 0);
const wanted = some
  .map((_, at) => at * 2)
  .filter((n) => n % 7 !== 3)
  .map((n) => n * 2);
const poisoned = some.filter((_, at) => (at * 2) % 7 === 3).map(({ offset }) => offset);

function workOn(
  stores: Stores,
  to: "result" | "queue" | "bucket" | "stream",
  faults: Faults,
  given: readonly StreamRecord[] = some,
) {
  const settings = settingsOf({ to, deadLetters: "queue", operators: [{ code: "double" }] });
  const { source: _, ...links } = linksOf(stores, settings, faults);
  const payload = given.map((one) => ({
    ...{ topic: "orders", partition: one.partition, offset: one.offset, timestamp: one.timestamp },
    ...{ key: "k", value: Buffer.from(one.value!).toString(), valueSize: one.value!.byteLength, overflowFlag: false },
  }));
  const event = { type: "function.invoked", id: "event", payload, time: "" } as const;
  return work(event, contextOf(links, settings, { code: { double } }));
}

const lettersOf = ({ queues }: Stores) =>
  queues.dead.map(({ body }) => (JSON.parse(body) as { readonly record: ConnectorRecord }).record.offset);

test("the result of a run is what its envelope carries; dead records are told one by one, by all attempts together", async () => {
  const stores = new Stores();
  expect(await workOn(stores, "result", new Faults())).toEqual(wanted);
  expect(await workOn(stores, "result", new Faults())).toEqual(wanted);
  expect(lettersOf(stores).toSorted((one, other) => one - other)).toEqual(poisoned);
  const event = (payload: unknown) => ({ type: "function.invoked", id: "", payload, time: "" }) as never;
  const context = contextOf(linksOf(stores, settingsOf(), new Faults()), settingsOf());
  await expect(work(event({ a: 1 }), context)).rejects.toThrow(/a list of records/);
  await expect(work(event([{ a: 1 }]), context)).rejects.toMatchObject({ kind: "bad-input" });
});

test.each(["queue", "bucket", "stream"] as const)(
  "records to a %s: attempts that are killed go on where they were",
  async (to) => {
    for (let call = 1; call <= 40; call += 1) {
      for (const when of ["before", "after"] as const) {
        const stores = new Stores();
        const faults = new Faults();
        faults.killAt = [call, when];
        for (let attempt = 1; ; attempt += 1) {
          faults.isDead = false;
          try {
            await workOn(stores, to, faults);
            break;
          } catch (error) {
            if (!(error instanceof Killed)) throw error;
            expect(attempt).toBeLessThan(3);
          }
        }
        // It has succeeded, and nobody heard of it.
        faults.killAt = undefined;
        await workOn(stores, to, faults);
        const texts = {
          queue: stores.queues.out.map(({ body }) => body),
          stream: textsOf(stores.out.records),
          bucket: [...stores.objects].flatMap(([, { body }]) => Buffer.from(body).toString().split("\n").slice(0, -1)),
        };
        const numbers = texts[to].map(Number);
        const at = `${when} call ${call}`;
        expect(
          [...new Set(numbers)].toSorted((one, other) => one - other),
          at,
        ).toEqual(wanted);
        expect(numbers.length - wanted.length, at).toBeLessThanOrEqual(
          { queue: 16, bucket: 0, stream: some.length }[to],
        );
        expect(
          [...new Set(lettersOf(stores))].toSorted((one, other) => one - other),
          at,
        ).toEqual(poisoned);
      }
    }
  },
);

test("an operator that does not answer fails the run, which may be tried again", async () => {
  const settings = settingsOf({ to: "result", deadLetters: "queue", operators: [{ code: "down" }] });
  const down: OperatorModule = { operator: () => Promise.reject(new MillraceError("unavailable", "down")) };
  const payload = [
    { topic: "t", partition: 0, offset: 1, timestamp: 1, key: null, value: "1", valueSize: 1, overflowFlag: false },
  ];
  const event = { type: "function.invoked", id: "", payload, time: "" } as const;
  const { source: _, ...links } = linksOf(new Stores(), settings, new Faults());
  await expect(work(event, contextOf(links, settings, { code: { down } }))).rejects.toMatchObject({
    kind: "unavailable",
  });
});
