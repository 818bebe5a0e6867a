import { describe, expect, it } from "vitest";
import { toEvents } from "../../../lib/clouds/alicloud/runtime/events.ts";

const NOW = "2026-01-01T00:00:00.000Z";
const context = {
  requestId: "request-1",
  now: NOW,
  sources: { "topic/orders-eu": "shop-orders", "topic/clicks": "shop-clicks", "orders-eu": "shop-a-queue" },
};
const events = (value: unknown) => toEvents(Buffer.from(JSON.stringify(value)), context);
const utf8 = (text: string) => Uint8Array.from(Buffer.from(text));

/** What a record says, as in the help page on triggers of ApsaraMQ for Kafka. */
const data = (offset: number, changes: object = {}) => ({
  topic: "orders-eu",
  partition: 7,
  offset,
  timestamp: 1655952591589,
  headers: { headers: [], isReadOnly: false },
  key: "k",
  value: '{"a":1}',
  ...changes,
});
const cloudEvent = (inner: object) => ({
  specversion: "1.0",
  id: "8e215af8-ca18-4249-8645-f96c1026****",
  source: "acs:alikafka",
  type: "alikafka:Topic:Message",
  subject: "acs:alikafka_pre-cn-i7m2t7t1****:topic:orders-eu",
  datacontenttype: "application/json; charset=utf-8",
  time: "2022-06-23T02:49:51.589Z",
  aliyunaccountid: "164901546557****",
  data: inner,
});
const record = (offset: number, changes: object = {}) => ({
  partition: 7,
  offset,
  timestamp: 1655952591589,
  key: utf8("k"),
  value: utf8('{"a":1}'),
  headers: {},
  ...changes,
});
const batch = (records: readonly ReturnType<typeof record>[]) => ({
  type: "stream.consumed",
  id: `shop-orders-7-${records[0]!.offset}`,
  stream: "shop-orders",
  records,
  time: NOW,
});

describe("records of a stream", () => {
  const two = [data(25), data(26)];
  const expected = [batch([record(25), record(26)])];

  it.each<readonly [string, unknown]>([
    ["an array of texts", two.map(cloudEvent).map((one) => JSON.stringify(one))],
    ["an array of objects", two.map(cloudEvent)],
    ["raw data, as objects", two],
    ["raw data, as texts", two.map((one) => JSON.stringify(one))],
  ])("come as %s", (_, value) => {
    expect(events(value)).toEqual(expected);
  });

  it.each<readonly [string, unknown]>([
    ["event", cloudEvent(data(25))],
    ["record", data(25)],
  ])("come as one %s alone", (_, value) => {
    expect(events(value)).toEqual([batch([record(25)])]);
  });

  it("come as the connector brings them", () => {
    const one = { key: "k", offset: 25, overflowFlag: false, partition: 7, timestamp: 1603785325438 };
    expect(events([{ ...one, topic: "orders-eu", value: "text", valueSize: 4 }])).toEqual([
      batch([record(25, { timestamp: 1603785325438, value: utf8("text") })]),
    ]);
  });

  it("as a public sample has captured one, without a key", () => {
    const captured = String.raw`["{\"data\":{\"topic\":\"orders-eu\",\"partition\":9,\"offset\":3,\"timestamp\":1659346376797,\"headers\":{\"headers\":[],\"isReadOnly\":false},\"value\":\"b\\u0027{}\\u0027\"},\"id\":\"1cb591f9\",\"source\":\"acs:alikafka\",\"specversion\":\"1.0\",\"type\":\"alikafka:Topic:Message\",\"datacontenttype\":\"application/json; charset\\u003dutf-8\",\"time\":\"2022-08-01T09:32:56.797Z\",\"subject\":\"acs:alikafka:alikafka_pre-cn-1:topic:orders-eu\",\"aliyunaccountid\":\"1\"}"]`;
    expect(toEvents(Buffer.from(captured), context)).toEqual([
      {
        type: "stream.consumed",
        id: "shop-orders-9-3",
        stream: "shop-orders",
        records: [{ partition: 9, offset: 3, timestamp: 1659346376797, value: utf8("b'{}'"), headers: {} }],
        time: NOW,
      },
    ]);
  });

  it.each<readonly [string, object, object]>([
    ["no key", { key: undefined }, { key: undefined }],
    ["a key that is null", { key: null }, { key: undefined }],
    ["an empty key", { key: "" }, { key: utf8("") }],
    ["an empty value", { value: "" }, { value: utf8("") }],
    ["no value", { value: null }, { value: undefined }],
    ["a value of any letters", { value: "猫\u0000\uFFFD 🎬" }, { value: utf8("猫\u0000\uFFFD 🎬") }],
    ["a value that is JSON, which stays text", { value: "[1, 2]" }, { value: utf8("[1, 2]") }],
    ["a value that came parsed", { value: { a: 1 } }, { value: utf8('{"a":1}') }],
    ["no time", { timestamp: undefined }, { timestamp: 0 }],
    ["no headers", { headers: undefined }, {}],
    [
      "headers, as texts and as bytes",
      {
        headers: {
          headers: [{ key: "a", value: "x" }, { key: "b", value: [104, -1] }, { key: "c" }],
          isReadOnly: false,
        },
      },
      { headers: { a: utf8("x"), b: Uint8Array.of(104, 255), c: new Uint8Array() } },
    ],
  ])("with %s", (_, changes, wanted) => {
    const [event] = events([cloudEvent(data(25, changes))]);
    expect(event).toEqual(batch([record(25, wanted)]));
    const [found] = (event as { records: readonly object[] }).records;
    for (const [field, value] of Object.entries(wanted))
      if (value === undefined) expect(found).not.toHaveProperty(field);
  });

  it("of several partitions stay in the order in which they came", () => {
    const mixed = [data(1), data(5, { partition: 0 }), data(2)];
    expect(events(mixed.map(cloudEvent))).toMatchObject([
      { id: "shop-orders-7-1", records: [{ offset: 1 }, { partition: 0, offset: 5 }, { offset: 2 }] },
    ]);
  });

  it("of several topics are an event for each", () => {
    const mixed = [data(1), data(5, { topic: "clicks" }), data(2)];
    expect(events(mixed.map(cloudEvent))).toMatchObject([
      { stream: "shop-orders", records: [{ offset: 1 }, { offset: 2 }] },
      { stream: "shop-clicks", id: "shop-clicks-7-5", records: [{ offset: 5 }] },
    ]);
  });

  it("of a topic that nobody has named are of a stream of that name", () => {
    expect(events([cloudEvent(data(1, { topic: "else" }))])).toMatchObject([{ id: "else-7-1", stream: "else" }]);
  });

  it("of which one came without its value are refused, all of them", () => {
    const cut = {
      key: "k",
      offset: 26,
      overflowFlag: true,
      partition: 7,
      timestamp: 1,
      topic: "orders-eu",
      valueSize: 7e6,
    };
    expect(() => events([data(25), cut])).toThrow(
      "the record at orders-eu-7-26 came without its value of 7000000 bytes",
    );
  });
});

describe("what looks like records and is none", () => {
  it.each<readonly [string, unknown]>([
    ["raw data of a topic that is no source", [data(1, { topic: "else" })]],
    ["an order with fields of these names", { topic: "orders-eu", partition: "a", offset: 1 }],
    ["a list with something else in it", [cloudEvent(data(1)), { a: 1 }]],
    ["an empty list", []],
  ])("%s is a payload", (_, payload) => {
    expect(events(payload)).toMatchObject([{ type: "function.invoked", payload }]);
  });
});
