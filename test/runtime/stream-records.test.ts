import fc from "fast-check";
import { expect, test } from "vitest";
import type { StreamConsumed } from "../../lib/runtime/events.ts";
import { fromWire, newRecordFromWire, newRecordToWire, referenceTo, toWire } from "../../lib/runtime/stream-records.ts";

const bytes = () => fc.uint8Array({ maxLength: 20 });
const record = fc.record(
  {
    partition: fc.nat(),
    offset: fc.maxSafeNat(),
    timestamp: fc.maxSafeInteger(),
    key: bytes(),
    value: bytes(),
    headers: fc.dictionary(fc.string(), bytes(), { noNullPrototype: true }),
  },
  { requiredKeys: ["partition", "offset", "timestamp", "headers"], noNullPrototype: true },
);
const batch = (records: StreamConsumed["records"]): StreamConsumed => ({
  type: "stream.consumed",
  id: "orders-0-1",
  stream: "orders",
  records,
  time: "2026-11-21T08:15:00.000Z",
});

test("a batch comes back from JSON as it was: bytes, nothing, and no bytes at all", () => {
  fc.assert(
    fc.property(fc.array(record), (records) => {
      expect(fromWire(JSON.parse(JSON.stringify(toWire(batch(records)))))).toStrictEqual(batch(records));
    }),
  );
});

test("bytes that are a part of a larger buffer travel without the rest of it", () => {
  const value = Buffer.from("secret value").subarray(7);
  const wire = toWire(batch([{ partition: 0, offset: 1, timestamp: 2, value, headers: { h: value } }]));
  expect(wire.records[0]).toStrictEqual({
    partition: 0,
    offset: 1,
    timestamp: 2,
    value: Buffer.from("value").toString("base64"),
    headers: { h: Buffer.from("value").toString("base64") },
  });
});

test("what is to be appended: text is UTF-8, what is left out stays out", () => {
  const given = { key: "kö", value: new Uint8Array([0xff, 0]), headers: { h: "ü" }, timestamp: 5, partition: 2 };
  expect(newRecordFromWire(JSON.parse(JSON.stringify(newRecordToWire(given))))).toStrictEqual({
    key: new Uint8Array(Buffer.from("kö")),
    value: new Uint8Array([0xff, 0]),
    headers: { h: new Uint8Array(Buffer.from("ü")) },
    timestamp: 5,
    partition: 2,
  });
  expect(newRecordFromWire(newRecordToWire({}))).toStrictEqual({});
  expect(newRecordFromWire(newRecordToWire({ key: "" }))).toStrictEqual({ key: new Uint8Array() });
});

test("a batch that is too large is told by its ranges", () => {
  const at = (partition: number, offset: number) => ({ partition, offset, timestamp: 0, headers: {} });
  expect(referenceTo(batch([at(2, 7), at(0, 3), at(2, 9), at(0, 4)]))).toStrictEqual({
    type: "stream.consumed",
    id: "orders-0-1",
    stream: "orders",
    ranges: [
      { partition: 0, first: 3, last: 4 },
      { partition: 2, first: 7, last: 9 },
    ],
  });
});
