import fc from "fast-check";
import { expect, test } from "vitest";
import { formatBytes, type Size, toBytes, toMegabytes } from "../../lib/shared/size.ts";

test("a KB is 1,024 bytes, and so on", () => {
  expect(["1 KB", "512 MB", "1.5 GB", "2 TB"].map((size) => toBytes(size as Size))).toEqual([
    1024,
    512 * 2 ** 20,
    1.5 * 2 ** 30,
    2 * 2 ** 40,
  ]);
  expect(toMegabytes("2 GB")).toBe(2048);
});

test("bytes are whole", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1000, noNaN: true }), fc.constantFrom("KB", "MB", "GB"), (amount, unit) => {
      expect(Number.isInteger(toBytes(`${amount.toFixed(9)} ${unit}` as Size))).toBe(true);
    }),
  );
});

test.each(["", "512", "512MB", "-1 MB", "1 PB", "1 mb", "1e3 MB"])("%j is refused", (text) => {
  expect(() => toBytes(text as Size)).toThrow(
    `a size is a number and a unit, such as "512 MB" or "10 GB", got "${text}"`,
  );
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1 KB"],
  [1536, "1.5 KB"],
  [1023 * 2 ** 20, "1023 MB"],
  [10_240 * 2 ** 20, "10 GB"],
  [2 ** 20 - 1, "1024 KB"],
  [5 * 2 ** 40, "5 TB"],
])("%d bytes read as %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test("a size as people write it reads the same", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1023 }), fc.constantFrom("KB", "MB", "GB", "TB"), (amount, unit) => {
      expect(formatBytes(toBytes(`${amount} ${unit}` as Size))).toBe(`${amount} ${unit}`);
    }),
  );
});
