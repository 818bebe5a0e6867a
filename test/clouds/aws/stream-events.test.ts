import { describe, expect, it } from "vitest";
import { toEvents } from "../../../lib/clouds/aws/runtime/events.ts";

const NOW = "2026-01-01T00:00:00.000Z";
const context = {
  requestId: "request-1",
  now: NOW,
  sources: { "topic/orders-eu-1": "shop-orders", "topic/clicks": "shop-clicks", "orders-eu-1": "shop-a-queue" },
};
const events = (value: unknown) => toEvents(value, context);
const base64 = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("base64");
const utf8 = (text: string) => Uint8Array.from(Buffer.from(text));

/** As in the developer guide's pages on Kafka. */
const record = (offset: number, changes: object = {}) => ({
  topic: "orders-eu-1",
  partition: 0,
  offset,
  timestamp: 1545084650987,
  timestampType: "CREATE_TIME",
  key: base64("k"),
  value: base64("Hello, this is a test."),
  headers: [{ headerKey: [104, 101, 97, 100, 101, 114] }],
  ...changes,
});
const managed = (records: object) => ({
  eventSource: "aws:kafka",
  eventSourceArn: "arn:aws:kafka:us-east-1:123456789012:cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
  bootstrapServers: "b-2.shop.a1bcde.c1.kafka.us-east-1.amazonaws.com:9092",
  records,
});
const own = (records: object) => ({ eventSource: "SelfManagedKafka", bootstrapServers: "kafka:9092", records });
const expected = (offset: number, changes: object = {}) => ({
  partition: 0,
  offset,
  timestamp: 1545084650987,
  key: utf8("k"),
  value: utf8("Hello, this is a test."),
  headers: { headerKey: utf8("header") },
  ...changes,
});

describe("records of a stream", () => {
  it.each([
    ["MSK", managed],
    ["any Kafka", own],
  ])("of %s are one event, and their topic may have hyphens", (_, from) => {
    const records = {
      "orders-eu-1-0": [record(15), record(16)],
      "orders-eu-1-12": [record(3, { partition: 12 })],
    };
    expect(events(from(records))).toEqual([
      {
        type: "stream.consumed",
        id: "shop-orders-0-15",
        stream: "shop-orders",
        records: [expected(15), expected(16), expected(3, { partition: 12 })],
        time: NOW,
      },
    ]);
  });

  it.each<readonly [string, object, object]>([
    ["no key", { key: undefined }, { key: undefined }],
    ["a key that is null", { key: null }, { key: undefined }],
    ["an empty value", { value: "" }, { value: new Uint8Array() }],
    ["no value", { value: null }, { value: undefined }],
    [
      "bytes that are no text",
      { value: base64(Uint8Array.of(0, 255, 254, 128)) },
      { value: Uint8Array.of(0, 255, 254, 128) },
    ],
    ["no headers", { headers: [] }, { headers: {} }],
    ["headers left out", { headers: undefined }, { headers: {} }],
    [
      "headers in the order of their bytes, of which some are negative",
      { headers: [{ a: [1, -2] }, { b: [] }] },
      { headers: { a: Uint8Array.of(1, 254), b: new Uint8Array() } },
    ],
  ])("with %s", (_, changes, wanted) => {
    const [event] = events(managed({ "orders-eu-1-0": [record(1, changes)] }));
    const [found] = (event as unknown as { records: readonly object[] }).records;
    expect(found).toEqual(expected(1, wanted));
    for (const [field, value] of Object.entries(wanted))
      if (value === undefined) expect(found).not.toHaveProperty(field);
  });

  it("of several topics are an event for each", () => {
    const records = { "orders-eu-1-0": [record(1)], "clicks-0": [record(2, { topic: "clicks" })] };
    expect(events(own(records))).toMatchObject([
      { stream: "shop-orders", records: [{ offset: 1 }] },
      { stream: "shop-clicks", id: "shop-clicks-0-2", records: [{ offset: 2 }] },
    ]);
  });
});

it("what has records of its own is a payload", () => {
  for (const payload of [{ eventSource: "aws:kafka" }, { eventSource: "shop", records: {} }])
    expect(events(payload)).toMatchObject([{ type: "function.invoked", payload }]);
});
