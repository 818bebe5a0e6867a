import { expect, test } from "vitest";
import { toConnector } from "../../../lib/handlers/etl/records.ts";
import { type RedriveRequest, handler as redrive } from "../../../lib/handlers/etl/redrive.ts";
import type { OperatorModule } from "../../../lib/handlers/etl/user-code.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import { toWire } from "../../../lib/runtime/stream-records.ts";
import type { TaskAudit } from "../../../lib/runtime/tasks/task.ts";
import {
  batch,
  bucket,
  contextOf,
  Faults,
  invoke,
  linksOf,
  producer,
  reader,
  receiver,
  record,
  Stores,
  settingsOf,
  textsOf,
} from "./world.ts";

const poison: OperatorModule = {
  operator: () => {
    throw new Error("never");
  },
};
const error = { kind: "unavailable", message: "" };

/** Runs it on messages; what lies in the stream before, and what of the runs is known, can be said. */
async function redrivenOf(
  messages: readonly (object | string)[],
  {
    request = {},
    lying = [],
    runs = {},
    stores = new Stores(),
  }: {
    request?: RedriveRequest;
    lying?: Parameters<typeof reader>[1];
    runs?: Readonly<Record<string, unknown>>;
    stores?: Stores;
  } = {},
) {
  for (const message of messages) {
    const body = typeof message === "string" ? message : JSON.stringify(message);
    stores.queues.dead.push({ body, attributes: {}, deduplication: undefined });
  }
  const links = {
    deadLetters: receiver("dead", stores.queues.dead),
    source: { ...producer(stores.source, new Faults()), ...reader("orders", lying) },
    large: bucket("large", stores.objects, new Faults()),
    runs: { audit: async (id: string) => (id in runs ? ({ payload: runs[id] } as TaskAudit) : undefined) },
  };
  const event = { type: "function.invoked", id: "event", payload: request, time: "" } as const;
  const result = await redrive(event, contextOf(links, {}));
  const left = await links.deadLetters.receive({ limit: 100 });
  if (request.limit === undefined) expect(left).toHaveLength(result.left);
  return {
    result,
    values: textsOf(stores.source.records).map((text) => text.slice(0, 10)),
    records: stores.source.records,
  };
}

/** A queue of dead letters of every kind, and what goes back of it. */
async function redriven(request: RedriveRequest) {
  const stores = new Stores();
  const settings = settingsOf({ to: "queue", deadLetters: "queue", operators: [{ code: "poison" }] });
  const given = [record(1, { n: 1 }, { key: "k" }), record(2, Buffer.from([0xff])), record(3, "x".repeat(2 ** 20))];
  await invoke(given, { settings, code: { poison }, links: linksOf(stores, settings, new Faults()) });
  const messages = [
    { event: toWire(batch([record(10, { n: 10 }), record(11, { n: 11 })])), error, attempts: 3 },
    {
      requestPayload: JSON.stringify([toConnector("orders", record(20, { n: 20 }))]),
      task: { id: "run", error: { kind: "stopped", message: "" } },
    },
    { requestPayload: { bucket: "large", key: "gone" }, task: { id: "run" } },
    { something: "else" },
  ];
  return redrivenOf(messages, { request, stores });
}

test("redrive: letters, batches that were given up and runs, by all that can be asked", async () => {
  const all = await redriven({});
  expect(all.result).toEqual({ matched: 6, redriven: 6, left: 2, gone: 0 });
  expect(all.records[0]).toEqual({
    key: Buffer.from("k"),
    value: Buffer.from('{"n":1}'),
    headers: {},
    timestamp: 1001,
  });
  expect(all.records[2]!.value).toHaveLength(2 ** 20 + 2);
  expect((await redriven({ dryRun: true })).result).toEqual({ matched: 6, redriven: 0, left: 7, gone: 0 });
  expect((await redriven({ kind: "bad-input" })).result).toMatchObject({ redriven: 1 });
  expect((await redriven({ kind: "unavailable" })).values).toEqual(['{"n":10}', '{"n":11}']);
  expect((await redriven({ kind: "stopped" })).values).toEqual(['{"n":20}']);
  expect((await redriven({ from: 2, before: 4 })).result).toMatchObject({ redriven: 2 });
  expect((await redriven({ partition: 1 })).result).toEqual({ matched: 0, redriven: 0, left: 7, gone: 0 });
  expect((await redriven({ where: "n = 1" })).values).toEqual(['{"n":1}']);
  expect((await redriven({ limit: 2 })).result).toMatchObject({ redriven: 2 });
  await expect(redriven({ kinds: "failed" } as never)).rejects.toThrow(/dryRun: boolean/);
  await expect(redriven({ limit: "2" } as never)).rejects.toMatchObject({ kind: "bad-input" });
});

test("the batch of a run that is too large for its envelope lies with the run", async () => {
  const envelope = {
    requestPayload: { bucket: "claims", key: "k", size: 9, preview: "[" },
    task: { id: "orders-0-20" },
  };
  const payload = [20, 21].map((offset) => toConnector("orders", record(offset, { n: offset })));
  const runs = { "orders-0-20": payload };
  expect((await redrivenOf([envelope], { runs })).values).toEqual(['{"n":20}', '{"n":21}']);
  expect((await redrivenOf([envelope], { runs, request: { where: "n = 20" } })).result).toMatchObject({ left: 1 });
  expect((await redrivenOf([envelope])).result).toEqual({ matched: 0, redriven: 0, left: 1, gone: 0 });
});

/** As AWS's documentation has it; https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html */
const lambda = (recordsInfo: Readonly<Record<string, readonly [first: number, last: number]>>) => ({
  requestContext: {
    requestId: "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81",
    functionArn: "arn:aws:lambda:us-east-1:123456789012:function:myfunction",
    condition: "RetryAttemptsExhausted",
    approximateInvokeCount: 1,
  },
  responseContext: { statusCode: 200, executedVersion: "$LATEST", functionError: "Unhandled" },
  version: "1.0",
  timestamp: "2019-11-14T00:38:06.021Z",
  KafkaBatchInfo: {
    batchSize: 500,
    eventSourceArn:
      "arn:aws:kafka:us-east-1:123456789012:cluster/vpc-2priv-2pub/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
    bootstrapServers: "...",
    payloadSize: 2_039_086,
    recordsInfo: Object.fromEntries(
      Object.entries(recordsInfo).map(([place, [first, last]]) => [
        place,
        {
          ...{ firstRecordOffset: String(first), lastRecordOffset: String(last) },
          ...{ firstRecordTimestamp: "2019-11-14T00:38:04.835Z", lastRecordTimestamp: "2019-11-14T00:38:05.580Z" },
        },
      ]),
    ),
  },
});
const LYING = [
  ...[4, 5, 6, 8, 9].map((offset) => record(offset, { n: offset })),
  ...[0, 1, 2].map((offset) => record(offset, { m: offset }, { partition: 11 })),
];

test("what Lambda gave up is read from the stream again, by its offsets", async () => {
  const given = lambda({ "t-orders-0": [5, 8], "t-orders-11": [1, 1] });
  const { result, values, records } = await redrivenOf([given], { lying: LYING });
  expect(result).toEqual({ matched: 4, redriven: 4, left: 0, gone: 0 });
  expect(values).toEqual(['{"n":5}', '{"n":6}', '{"n":8}', '{"m":1}']);
  expect(records[0]).toEqual({ value: Buffer.from('{"n":5}'), headers: {}, timestamp: 1005 });
  const asked = (request: RedriveRequest) => redrivenOf([given], { lying: LYING, request });
  expect((await asked({ partition: 0 })).result).toMatchObject({ matched: 0, left: 1 });
  expect((await asked({ kind: "failed", from: 1 })).result).toMatchObject({ redriven: 4 });
});

test("records that the stream keeps no longer are counted; a message of which nothing is left stays", async () => {
  const { result } = await redrivenOf([lambda({ "t-orders-0": [1, 5] })], { lying: LYING });
  expect(result).toEqual({ matched: 2, redriven: 2, left: 0, gone: 3 });
  const gone = await redrivenOf([lambda({ "t-orders-0": [0, 1] }), lambda({ "t-orders-7": [3, 3] })], { lying: LYING });
  expect(gone.result).toEqual({ matched: 0, redriven: 0, left: 2, gone: 2 });
});

test("a batch that was too large for its queue is read from the stream again", async () => {
  const event = { type: "stream.consumed", id: "i", stream: "orders", ranges: [{ partition: 0, first: 8, last: 9 }] };
  const { values } = await redrivenOf([{ event, error, attempts: 3 }], { lying: LYING });
  expect(values).toEqual(['{"n":8}', '{"n":9}']);
});

/** What Function Compute's trigger brings, which its dead letters are; see `test/clouds/alicloud/stream-events.test.ts`. */
const cloudEvent = (data: object) => ({
  ...{
    specversion: "1.0",
    id: "1",
    source: "acs:alikafka",
    type: "alikafka:Topic:Message",
    time: "2023-07-13T08:24:48Z",
  },
  data: {
    topic: "t-orders",
    partition: 0,
    timestamp: 1_655_251_882_889,
    headers: { headers: [], isReadOnly: false },
    ...data,
  },
});

test("what Function Compute's trigger gave up: one event or several, as JSON or texts, in base64, cut off", async () => {
  const [one, two] = [1, 2].map((offset) => cloudEvent({ offset, key: "k", value: JSON.stringify({ n: offset }) }));
  const cut = cloudEvent({ offset: 8, overflowFlag: true, valueSize: 4_000_000, value: null });
  const bare = { ...{ topic: "t-orders", partition: 0, offset: 3, timestamp: 1 }, value: '{"n":3}' };
  const bodies = [
    JSON.stringify(one),
    JSON.stringify([one, JSON.stringify(two)]),
    Buffer.from(JSON.stringify([two])).toString("base64"),
    JSON.stringify([bare, cut]),
  ];
  const { result, values, records } = await redrivenOf(bodies, { lying: LYING });
  expect(result).toEqual({ matched: 6, redriven: 6, left: 0, gone: 0 });
  expect(values).toEqual(['{"n":1}', '{"n":1}', '{"n":2}', '{"n":2}', '{"n":3}', '{"n":8}']);
  expect(records[0]).toMatchObject({ key: Uint8Array.from(Buffer.from("k")), timestamp: 1_655_251_882_889 });
});

test.each<[string, object | string]>([
  ["is of another stream", { record: toConnector("returns", record(1, { n: 1 })), error, operator: "1", time: "" }],
  ["is of another topic", lambda({ "orders-eu-0": [1, 1] })],
  [
    "has a record of another topic among them",
    [cloudEvent({ offset: 1, value: "1" }), cloudEvent({ topic: "t", offset: 1 })],
  ],
  ["names no offsets", lambda({})],
  ["names offsets that cannot be", lambda({ "t-orders-0": [9, 1] })],
  ["is half of something else", [cloudEvent({ offset: 1, value: "1" }), { other: true }]],
  ["is no JSON", "text"],
])("a message that %s is left", async (_what, message) => {
  const { result } = await redrivenOf([message], { lying: LYING });
  expect(result).toEqual({ matched: 0, redriven: 0, left: 1, gone: 0 });
});

test("a stream that does not answer ends it, and nothing is taken out", async () => {
  const stores = new Stores();
  const faults = new Faults();
  faults.unavailable = () => "before";
  stores.queues.dead.push({
    body: JSON.stringify(cloudEvent({ offset: 1, value: "1" })),
    attributes: {},
    deduplication: undefined,
  });
  const links = {
    deadLetters: receiver("dead", stores.queues.dead),
    source: { ...producer(stores.source, faults), ...reader("orders", []) },
    large: bucket("large", stores.objects, faults),
  };
  const event = { type: "function.invoked", id: "event", payload: {}, time: "" } as const;
  await expect(redrive(event, contextOf(links, {}))).rejects.toThrow(MillraceError);
});
