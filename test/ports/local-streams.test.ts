import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Calls } from "../../lib/clouds/local/host/calls.ts";
import { Faults } from "../../lib/clouds/local/host/faults.ts";
import { Journal } from "../../lib/clouds/local/host/journal.ts";
import { Permissions } from "../../lib/clouds/local/host/permissions.ts";
import { StreamPlaces } from "../../lib/clouds/local/host/stream-places.ts";
import { Streams } from "../../lib/clouds/local/host/streams.ts";
import { VirtualClock } from "../../lib/clouds/local/host/virtual-clock.ts";
import { portsOf } from "../../lib/clouds/local/runtime/ports.ts";
import type { Action, StreamPlan } from "../../lib/parts/plan.ts";
import type { NewRecord, StreamClaimer, StreamProducer, StreamReader } from "../../lib/runtime/ports.ts";
import type { ReadOptions } from "../../lib/runtime/streams.ts";
import { functionPlan, link } from "../clouds/local/fixtures/kit.ts";
import { streamPlan } from "../clouds/local/plans.ts";
import { PARTITIONS, type StreamSubject, testStream } from "./stream.ts";

type Port = StreamProducer & StreamClaimer & StreamReader;
const ALL: readonly Action[] = ["stream.read", "stream.produce", "stream.claim"];
const BYTES = Buffer.from([0, 0xff]);

testStream("in the journal", async () => {
  const { close, ...cloud } = local();
  return { ...cloud.subject, close };
});

/** Streams as a handler gets them: its ports, over what a channel does to calls, to the host. */
function local(folder = mkdtempSync(join(tmpdir(), "millrace-streams-")), plans: Partial<StreamPlan> = {}) {
  const journal = new Journal(folder);
  const clock = new VirtualClock("2026-01-01T00:00:00Z");
  const streams = new Streams({ journal, clock, onAppended: () => {} });
  for (const name of ["orders", "results"]) streams.define(streamPlan(name, { partitions: PARTITIONS }));
  streams.define(streamPlan("elsewhere", plans));
  const places = new StreamPlaces(journal, streams);
  const permissions = new Permissions();
  const calls = new Calls({
    permissions,
    faults: new Faults({ clock }),
    buckets: {} as never,
    claims: places,
    port: (part) => ({
      send: async (records: readonly NewRecord[]) => void streams.append(part, records),
      read: async (options: ReadOptions) => streams.read(part, options),
    }),
  });
  const links = { orders: ALL, results: ALL, elsewhere: ALL };
  /** The ports of a function; by default it may do all. */
  const ports = (name: string, granted: Readonly<Record<string, readonly Action[]>> = links) => {
    const plan = Object.entries(granted).map(([stream, actions]) => [stream, link(stream, ...actions)] as const);
    permissions.define(functionPlan(name, { links: Object.fromEntries(plan) }));
    const invocation = calls.begin(name);
    const ask = async (link: string, method: string, args: readonly unknown[]) => {
      const call = structuredClone({ type: "call", call: 1, invocation: 1, link, method, args } as const);
      return structuredClone(await invocation.answer(call, { scratch: folder, kill: () => {} }));
    };
    const addresses = Object.keys(links).map((name) => ({ name, part: name, kind: "stream" as const }));
    return portsOf(addresses, ask, new AbortController().signal) as Readonly<Record<keyof typeof links, Port>>;
  };
  const subject: Omit<StreamSubject, "close"> = {
    // One process's ports, so that what a claim sends to is a link of its own function.
    producer: async (stream) => shared[stream],
    claimer: async (stream, group) => ({ ...claimerOf(group, stream), stream }),
    reader: async (stream) => shared[stream],
    read: async (stream) => [0, 1, 2].flatMap((partition) => streams.take(stream, partition, { from: 0 })),
  };
  const shared = ports("producer");
  /** A claimer that sends by its own links of the same streams. */
  function claimerOf(group: string, stream: keyof typeof links): Pick<StreamClaimer, "claim"> {
    const own = ports(group);
    return {
      claim: async (partition) => {
        const claim = await own[stream].claim(partition);
        const commit: typeof claim.commit = (next, sends) =>
          claim.commit(
            next,
            sends?.map(({ to, records }) => ({ to: own[to.stream as keyof typeof links], records })),
          );
        return { ...claim, commit };
      },
    };
  }
  const close = async () => {
    journal.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { folder, journal, clock, streams, places, ports, subject, close };
}

function opened(...given: Parameters<typeof local>) {
  const cloud = local(...given);
  onTestFinished(cloud.close);
  return cloud;
}

test("the place and the records are there after a restart", async () => {
  const first = local();
  const { orders, results } = first.ports("count");
  await results.send([{ partition: 0, key: BYTES, value: "sent", headers: { h: BYTES } }]);
  const claim = await orders.claim(2);
  await claim.commit(7, [{ to: results, records: [{ partition: 0, value: "committed" }] }]);
  first.journal.close();

  const second = opened(first.folder);
  expect((await second.ports("count").orders.claim(2)).next).toBe(7);
  await second.ports("count").results.send([{ partition: 0, value: "later" }]);
  const found = second.streams.take("results", 0, { from: 0 });
  expect(found.map(({ offset, value }) => `${offset} ${Buffer.from(value!)}`)).toEqual([
    "0 sent",
    "1 committed",
    "2 later",
  ]);
  expect([...found[0]!.key!]).toEqual([...BYTES]);
  expect([...found[0]!.headers.h!]).toEqual([...BYTES]);
});

test.each<
  [string, Readonly<Record<string, readonly Action[]>>, (ports: Record<string, Port>) => Promise<unknown>, string]
>([
  [
    "append",
    { orders: ["stream.claim"] },
    ({ orders }) => orders!.send([{ value: "a" }]),
    'function "count" may not append records to "orders"; link it: links: { orders: all(claim(orders), produce(orders)) }',
  ],
  [
    "claim",
    { orders: ["stream.produce"] },
    ({ orders }) => orders!.claim(0),
    'function "count" may not keep its place in "orders"; link it: links: { orders: all(produce(orders), claim(orders)) }',
  ],
  [
    "read",
    { orders: ["stream.produce"] },
    ({ orders }) => orders!.read({ partition: 0 }),
    'function "count" may not read records of "orders"; link it: links: { orders: all(produce(orders), read(orders)) }',
  ],
  [
    "append with a commit",
    { orders: ["stream.claim"], results: ["stream.claim"] },
    async ({ orders, results }) => (await orders!.claim(0)).commit(1, [{ to: results!, records: [{ value: "a" }] }]),
    'function "count" may not append records to "results"; link it: links: { results: all(claim(results), produce(results)) }',
  ],
  [
    "append with a commit to what is not linked at all",
    { orders: ["stream.claim"] },
    async ({ orders, results }) =>
      (await orders!.claim(0)).commit(1, [{ to: { ...results! }, records: [{ value: "a" }] }]),
    "commit: it sends to stream results by something that is no link of this function",
  ],
])("a function may not %s unless it is linked so", async (_what, granted, ask, message) => {
  const { ports, places } = opened();
  await expect(ask(ports("count", granted))).rejects.toMatchObject({ kind: "refused", message });
  expect(places.lag("orders")).toEqual([]);
});

test("a commit that sends to another Kafka is refused, as it would be there", async () => {
  const { ports } = opened(undefined, { kafka: { brokers: ["kafka-2.example.com:9092"], tls: false } });
  const { orders, elsewhere } = ports("count");
  const claim = await orders.claim(0);
  await expect(claim.commit(1, [{ to: elsewhere, records: [] }])).rejects.toMatchObject({
    kind: "refused",
    message: "a commit on stream orders cannot send to elsewhere, which is of another Kafka",
  });
});

test.each<[string, NewRecord, string]>([
  ["null", { value: null as never }, "records[1].value: bytes (Uint8Array), a text, or left out; got null"],
  ["a number", { key: 5 as never }, "records[1].key: bytes (Uint8Array), a text, or left out; got number"],
  [
    "a header",
    { headers: { h: 5 as never } },
    "records[1].headers.h: bytes (Uint8Array), a text, or left out; got number",
  ],
  ["a time", { timestamp: -1 }, "records[1].timestamp: a whole number from 0 to 9007199254740991, got -1"],
  ["a partition", { partition: 1.5 }, "partition of stream orders: 0 to 2, got 1.5"],
])("%s that is none is refused, and nothing is appended", async (_what, record, message) => {
  const { ports, streams } = opened();
  await expect(ports("count").orders.send([{ value: "good" }, record])).rejects.toMatchObject({
    kind: "bad-input",
    message,
  });
  expect(streams.list()[0]!.partitions.map(({ next }) => next)).toEqual([0, 0, 0]);
});
