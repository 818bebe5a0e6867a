import { expect, test } from "vitest";
import { KeyTable } from "../../../lib/handlers/mapreduce/key-table.ts";
import { hashOf } from "../../../lib/handlers/mapreduce/shuffle.ts";

/** What a table says of keys is what a plain map says. */
function expectNumbered(given: readonly string[]): void {
  const table = new KeyTable();
  const numbers = new Map<string, number>();
  for (const key of given) {
    if (!numbers.has(key)) numbers.set(key, numbers.size);
    if (table.numberOf(key) !== numbers.get(key)) throw new Error(`${key}: ${table.numberOf(key)}`);
  }
  expect(table.keys).toEqual([...numbers.keys()]);
}

test("a key has one number, however many there are", () => {
  const keys = Array.from({ length: 100_000 }, (_, index) => `key${(index * 7919) % 40_000}`);
  expectNumbered(["", "\u0000", "a", "A", "é", "e\u0301", "日本", "\u{1F600}", "\uD83D", ...keys, "", "a", "\uD83D"]);
});

test("keys that all want the same slot are told apart, before the table grows and after", () => {
  const meeting: string[] = [];
  for (let index = 0; meeting.length < 100; index += 1) {
    const key = index.toString(36);
    if ((hashOf(key) & 0xfff) === 0xffe) meeting.push(key);
  }
  const others = Array.from({ length: 20_000 }, (_, index) => `other ${index}`);
  expectNumbered([...meeting, ...meeting, ...others, ...meeting, ...others]);
});
