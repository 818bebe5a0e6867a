import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { Agenda } from "../../../lib/clouds/local/host/agenda.ts";
import { Consumers } from "../../../lib/clouds/local/host/consumers.ts";
import { Faults } from "../../../lib/clouds/local/host/faults.ts";
import type { GivenUp } from "../../../lib/clouds/local/host/functions.ts";
import type { Ending } from "../../../lib/clouds/local/host/instance.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { StreamPlaces } from "../../../lib/clouds/local/host/stream-places.ts";
import { Streams } from "../../../lib/clouds/local/host/streams.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import type { FunctionPlan } from "../../../lib/parts/plan.ts";
import { type ErrorKind, MillraceError } from "../../../lib/runtime/errors.ts";
import type { SourceEvent } from "../../../lib/runtime/events.ts";
import { functionPlan, until } from "./fixtures/kit.ts";
import { streamPlan } from "./plans.ts";

/** An invocation that the test ends. */
interface Call {
  /** `<function> <partition>: <values>`. */
  readonly text: string;
  readonly attempt: number;
  done(): void;
  fail(kind?: ErrorKind): void;
}

interface Options {
  readonly partitions?: number;
  readonly most?: number;
  readonly batchBytes?: number;
}

/** Consumers of one stream, `orders`, over functions whose invocations last until the test ends them. */
function consuming({ partitions = 2, most = 10, batchBytes = Infinity }: Options = {}) {
  const folder = mkdtempSync(join(tmpdir(), "millrace-consumers-"));
  const journal = new Journal(folder);
  const clock = new VirtualClock("2026-01-01T00:00:00Z");
  const errors: unknown[] = [];
  const agenda = new Agenda(clock, (error) => errors.push(error));
  const streams = new Streams({ journal, clock, onAppended: (stream) => void consumers.appended(stream) });
  streams.define(streamPlan("orders", { partitions }));
  const places = new StreamPlaces(journal, streams);
  const faults = new Faults({ clock });
  const calls: Call[] = [];
  const sent: { queue: string; body: string }[] = [];
  const givenUp: GivenUp[] = [];
  let mostBytes = Infinity;
  const deliver = (name: string, [event]: readonly SourceEvent[], { attempt = 1 } = {}): Promise<Ending> => {
    if (event?.type !== "stream.consumed") throw new Error("no batch");
    const { records, id } = event;
    const text = `${name} ${records[0]!.partition}: ${records.map(({ value }) => Buffer.from(value!)).join(" ")}`;
    return new Promise((resolve) => {
      calls.push({
        text,
        attempt,
        done: () => resolve({ results: ["null"], failures: [] }),
        fail: (kind = "failed") =>
          resolve({ results: [undefined], failures: [{ id, error: { kind, message: "no" } }] }),
      });
    });
  };
  const consumers: Consumers = new Consumers({
    journal,
    clock,
    random: () => 1,
    agenda,
    faults,
    streams,
    places,
    functions: { deliver, giveUp: (_plan, failed) => void givenUp.push(failed) },
    send: (queue, body) => {
      if (body.length > mostBytes) throw new MillraceError("refused", "too large");
      sent.push({ queue, body });
    },
    most,
    batchBytes,
    onError: (error) => errors.push(error),
  });
  agenda.add(consumers);
  onTestFinished(() => {
    agenda.stop();
    journal.close();
    rmSync(folder, { recursive: true });
  });
  let seen = 0;
  /** The calls that were begun since the last look, once nothing more begins by itself. */
  const begun = async (): Promise<readonly Call[]> => {
    // What an invocation's end sets going takes a turn of the event loop to show.
    await nextTurn();
    await until("quiet", () => agenda.isQuiet);
    const news = calls.slice(seen);
    seen = calls.length;
    return news;
  };
  return {
    ...{ journal, clock, streams, places, consumers, faults, sent, givenUp, errors, begun },
    texts: async () => (await begun()).map(({ text }) => text),
    send: (partition: number, ...values: readonly string[]) =>
      void streams.append(
        "orders",
        values.map((value) => ({ partition, value })),
      ),
    bound: (bytes: number) => {
      mostBytes = bytes;
    },
  };
}

type Source = Partial<Extract<FunctionPlan["sources"][number], { readonly type: "stream.consumed" }>>;

const reader = (name: string, source: Source = {}, plan: Partial<FunctionPlan> = {}): FunctionPlan =>
  functionPlan(name, {
    sources: [{ type: "stream.consumed", stream: "orders", batch: 3, window: 0, from: "earliest", ...source }],
    ...plan,
  });

test("a batch is of one partition, no larger than it may be, and the next one of the partition waits for its end", async () => {
  const { consumers, begun, send } = consuming();
  consumers.define([reader("count")]);
  send(0, "a", "b", "c", "d");
  send(1, "x");
  const [first, other, ...more] = await begun();
  expect([first!.text, other!.text, more]).toEqual(["count 0: a b c", "count 1: x", []]);
  send(1, "y");
  expect(await begun()).toEqual([]);
  other!.done();
  expect((await begun()).map(({ text }) => text)).toEqual(["count 1: y"]);
  first!.done();
  expect((await begun()).map(({ text }) => text)).toEqual(["count 0: d"]);
});

test("a batch that is not full waits for its window, counted from its first record; a full one does not", async () => {
  const { consumers, clock, send, texts } = consuming();
  consumers.define([reader("count", { window: 10 })]);
  send(0, "a");
  await clock.advance("6 seconds");
  send(0, "b");
  await clock.advance("3 seconds");
  expect(await texts()).toEqual([]);
  await clock.advance("1 second");
  expect(await texts()).toEqual(["count 0: a b"]);
  send(1, "x", "y", "z");
  expect(await texts()).toEqual(["count 1: x y z"]);
});

test("in a hurry nobody waits for a window", async () => {
  const { consumers, send, texts } = consuming();
  consumers.define([reader("count", { window: 10 })]);
  send(0, "a");
  expect(await texts()).toEqual([]);
  const relax = consumers.hurry();
  expect(await texts()).toEqual(["count 0: a"]);
  relax();
  send(1, "x");
  expect(await texts()).toEqual([]);
});

test("a batch has no more bytes than one invocation takes, and one record however large", async () => {
  const { consumers, begun, send } = consuming({ batchBytes: 10 });
  consumers.define([reader("count")]);
  send(0, "12345", "67890", "1", "123456789012345", "2");
  for (const wanted of ["12345 67890", "1", "123456789012345", "2"]) {
    const [call] = await begun();
    expect(call!.text).toBe(`count 0: ${wanted}`);
    call!.done();
  }
});

test("no more batches at once than the function's concurrency; the partition that waits longest is next", async () => {
  const { consumers, begun, send, clock } = consuming({ partitions: 4 });
  consumers.define([reader("count", {}, { concurrency: 2 })]);
  for (const partition of [3, 1, 0, 2]) {
    send(partition, ...["a", "b", "c", "d", "e", "f"].map((value) => `${partition}${value}`));
    await clock.advance("1 second");
  }
  const [first, second, ...more] = await begun();
  expect([first!.text, second!.text, more]).toEqual(["count 3: 3a 3b 3c", "count 1: 1a 1b 1c", []]);
  second!.done();
  const [third] = await begun();
  // Partition 1 has more, and has waited since before the others came.
  expect(third!.text).toBe("count 1: 1d 1e 1f");
  third!.done();
  expect((await begun()).map(({ text }) => text)).toEqual(["count 0: 0a 0b 0c"]);
});

test("a batch that fails is given again as it was, after the function's backoff, and holds up its partition alone", async () => {
  const { consumers, begun, send, clock, sent, givenUp, places } = consuming();
  const backoff = { first: 4, factor: 2, longest: 100 };
  consumers.define([reader("count", {}, { attempts: 3, backoff, failures: "dead" })]);
  send(0, "a", "b");
  const [first] = await begun();
  send(0, "c");
  first!.fail();
  send(1, "x");
  expect((await begun()).map(({ text }) => text)).toEqual(["count 1: x"]);
  await clock.advance("4 seconds");
  const [second] = await begun();
  expect(second).toMatchObject({ text: "count 0: a b", attempt: 2 });
  second!.fail();
  await clock.advance("4 seconds");
  expect(await begun()).toEqual([]);
  await clock.advance("4 seconds");
  const [third] = await begun();
  expect(third).toMatchObject({ text: "count 0: a b", attempt: 3 });
  expect(sent).toEqual([]);
  third!.fail("timed-out");
  expect((await begun()).map(({ text, attempt }) => [text, attempt])).toEqual([["count 0: c", 1]]);
  expect(sent.map(({ queue }) => queue)).toEqual(["dead"]);
  expect(JSON.parse(sent[0]!.body)).toMatchObject({
    event: { id: "orders-0-0", records: [{ value: "YQ==" }, { value: "Yg==" }] },
    error: { kind: "timed-out", message: "no" },
    attempts: 3,
  });
  expect(givenUp).toMatchObject([{ event: { id: "orders-0-0" }, attempts: 3 }]);
  expect(places.lagOf("count", "orders")).toBe(2);
});

test("what can never work is given up at once; too large for the queue, it is told by where it lies", async () => {
  const { consumers, begun, send, sent, bound, givenUp } = consuming();
  bound(300);
  consumers.define([reader("count", {}, { failures: "dead" })]);
  send(0, "x".repeat(400));
  (await begun())[0]!.fail("bad-input");
  expect(await begun()).toEqual([]);
  expect(sent.map(({ body }) => JSON.parse(body).event)).toEqual([
    { type: "stream.consumed", id: "orders-0-0", stream: "orders", ranges: [{ partition: 0, first: 0, last: 0 }] },
  ]);
  expect(givenUp).toHaveLength(1);
});

test("without a failure queue a batch is never given up", async () => {
  const { consumers, begun, send, clock, givenUp } = consuming();
  consumers.define([reader("count", {}, { attempts: 1, backoff: { first: 1, factor: 1, longest: 1 } })]);
  send(0, "a");
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    const [call] = await begun();
    expect(call).toMatchObject({ text: "count 0: a", attempt });
    call!.fail("bad-input");
    expect(await begun()).toEqual([]);
    await clock.advance("1 second");
  }
  (await begun())[0]!.done();
  expect(await begun()).toEqual([]);
  expect(givenUp).toEqual([]);
});

test("functions of one group share its partitions, and each record is one of theirs", async () => {
  const { consumers, begun, send, texts, places } = consuming({ partitions: 3 });
  const group = { group: "counters" };
  consumers.define([reader("one", group), reader("two", group), reader("alone")]);
  for (const partition of [0, 1, 2]) send(partition, `${partition}`);
  const calls = await begun();
  expect(calls.map(({ text }) => text).sort()).toEqual(
    ["alone 0: 0", "alone 1: 1", "alone 2: 2", "one 0: 0", "one 2: 2", "two 1: 1"].sort(),
  );
  // One of them is gone: what it was at work on is left to it, and then the other one goes on.
  consumers.define([reader("two", group), reader("alone")]);
  send(0, "a");
  expect(await texts()).toEqual([]);
  for (const call of calls) call.done();
  expect((await texts()).sort()).toEqual(["alone 0: a", "two 0: a"]);
  expect(places.lag("orders").map(({ group }) => group)).toEqual(["alone", "counters"]);
});

test("what the journal would not take is given again, a little later", async () => {
  const { consumers, begun, send, clock, places, errors } = consuming();
  consumers.define([reader("count")]);
  const move = places.move.bind(places);
  let isFull = true;
  places.move = (...given) => {
    if (isFull) throw new MillraceError("unavailable", "the disk is full");
    move(...given);
  };
  send(0, "a");
  (await begun())[0]!.done();
  expect(await begun()).toEqual([]);
  expect(errors).toMatchObject([{ message: "the disk is full" }]);
  isFull = false;
  await clock.advance("1 second");
  const [again] = await begun();
  expect(again!.text).toBe("count 0: a");
  again!.done();
  expect(await begun()).toEqual([]);
  expect(places.lagOf("count", "orders")).toBe(0);
});

test("what is cut short by the end of the host does not count, and is the first at the next start", async () => {
  const { consumers, begun, send, places } = consuming();
  consumers.define([reader("count", {}, { attempts: 1 })]);
  send(0, "a");
  const [call] = await begun();
  const closing = consumers.close();
  call!.fail("interrupted");
  await closing;
  expect(places.waiting("count", "orders")).toEqual([{ partition: 0, from: 0, count: 1, since: expect.any(Number) }]);
  expect(consumers.next()).toBeUndefined();
});

test("a fault makes a batch late, or come again after it is done", async () => {
  const { consumers, begun, send, clock, faults, places } = consuming();
  consumers.define([reader("count")]);
  faults.add({ at: "stream.consumed", part: "count", times: 1, delay: "1 minute", duplicate: 1 });
  send(0, "a");
  expect(await begun()).toEqual([]);
  await clock.advance("1 minute");
  (await begun())[0]!.done();
  const [again] = await begun();
  expect([again!.text, places.lagOf("count", "orders")]).toEqual(["count 0: a", 0]);
  again!.done();
});
