import { expect, test } from "vitest";
import { murmur2, partitionOf } from "../../lib/runtime/partitioner.ts";

/** As in Kafka's own test. https://github.com/apache/kafka/blob/trunk/clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java */
const HASHES: readonly (readonly [string, number])[] = [
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107],
];

test.each(HASHES)("%s has the hash that Kafka gives it", (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash);
});

test("a negative hash loses its sign, it is not negated", () => {
  // In Kafka: Utils.toPositive(-973932308) = 1173551340.
  expect(partitionOf(Buffer.from("21"), 2 ** 31)).toBe(1_173_551_340);
  expect(partitionOf(Buffer.from("21"), 6)).toBe(1_173_551_340 % 6);
});

test("every key has a partition, an empty one too", () => {
  for (const key of [new Uint8Array(), Buffer.from([0xff, 0xfe, 0x80]), Buffer.alloc(1000, 0xff)])
    expect([0, 1, 2]).toContain(partitionOf(key, 3));
});
