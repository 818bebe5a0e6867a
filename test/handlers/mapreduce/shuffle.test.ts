import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { Merge } from "../../../lib/handlers/mapreduce/merge.ts";
import { Pairs, type PairsOptions } from "../../../lib/handlers/mapreduce/pairs.ts";
import { partitionOf, RunCursor, type RunPlace } from "../../../lib/handlers/mapreduce/shuffle.ts";
import type { GetOptions } from "../../../lib/runtime/ports.ts";

const { signal } = new AbortController();

type Pair = readonly [key: string, value: unknown];

/** What reducers get of pairs that several mappers took, by partition and key. */
async function shuffled(mappers: readonly (readonly Pair[])[], options: PairsOptions, chunk: number, file: string) {
  const objects: Buffer[] = [];
  const places = new Map<number, RunPlace[]>();
  let written = 0;
  for (const [index, given] of mappers.entries()) {
    const pairs = new Pairs(options);
    const bytes: Buffer[] = [];
    for (const [key, value] of given) {
      pairs.add(key, value);
      if (pairs.isFull) for await (const part of pairs.flush()) bytes.push(part);
    }
    for await (const part of pairs.flush()) bytes.push(part);
    objects.push(Buffer.concat(bytes));
    written += pairs.written;
    for (const [partition, runs] of pairs.runs) {
      const more = runs.map((run) => ({ object: String(index), etag: "etag", codec: options.codec, run }));
      places.set(partition, [...(places.get(partition) ?? []), ...more]);
    }
  }
  const reader = {
    async get(key: string, { range: [first, last] = [0, 0] }: GetOptions = {}) {
      return objects[Number(key)]!.subarray(first, last + 1);
    },
  };
  const found = new Map<string, unknown[]>();
  let read = 0;
  for (const [partition, runs] of places) {
    const merge = await Merge.of(
      runs.map((run) => new RunCursor(reader, run, chunk, signal)),
      file,
    );
    let before: string | undefined;
    for (let group = await merge.next(); group; group = await merge.next()) {
      expect(partitionOf(group.key, options.partitions)).toBe(partition);
      expect(found.has(group.key)).toBe(false);
      if (before !== undefined) expect(before < group.key).toBe(true);
      before = group.key;
      found.set(group.key, [...group]);
      read += group.count;
    }
    merge.close();
  }
  expect(read).toBe(written);
  return found;
}

function file(): string {
  const folder = mkdtempSync(join(tmpdir(), "millrace-shuffle-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "values");
}

const KEY = fc.oneof(
  fc.constantFrom("a", "b", "", '\t\n\\"', "\uD800", "ü🎈"),
  fc.string({ maxLength: 5, unit: "binary" }),
);
const MAPPERS = fc.array(fc.array(fc.tuple(KEY, fc.jsonValue({ maxDepth: 1 })), { maxLength: 60 }), { maxLength: 5 });

test.each(["zstd", "gzip"] as const)("by %s: every value comes to its key, once, in order of keys", async (codec) => {
  const values = file();
  await fc.assert(
    fc.asyncProperty(
      MAPPERS,
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 5000 }),
      async (mappers, partitions, buffer) => {
        const found = await shuffled(mappers, { partitions, buffer, codec }, 16, values);
        const expected = new Map<string, unknown[]>();
        for (const [key, value] of mappers.flat()) expected.set(key, [...(expected.get(key) ?? []), value]);
        const texts = (of: ReadonlyMap<string, readonly unknown[]>) =>
          [...of]
            .map(([key, all]) => [key, all.map((one) => JSON.stringify(one)).sort()] as const)
            .sort(([a], [b]) => (a < b ? -1 : 1));
        expect(texts(found)).toEqual(texts(expected));
      },
    ),
    { numRuns: 60 },
  );
});

const sumOf = (values: readonly unknown[]): number =>
  (values as readonly number[]).reduce((sum, value) => sum + value, 0);
const longest = (values: readonly unknown[]): unknown =>
  (values as readonly string[]).reduce((best, value) => (value.length > best.length ? value : best), "");

test("a combiner, one by one or many at once, changes nothing of what all come to", async () => {
  const values = file();
  const combine = (_: string, all: readonly unknown[]) => (typeof all[0] === "number" ? sumOf(all) : longest(all));
  const ways = [
    {},
    { combine },
    {
      combineAll: async (groups: readonly Pair[]) =>
        groups.map(([key, all]) => combine(key, all as readonly unknown[])),
    },
  ];
  // More values of a key than are combined at once, and a key that is larger than what is given at once.
  const keys = ["number", "text", "k".repeat(600_000)];
  const pairs = Array.from({ length: 1000 }, (_, index): Pair => {
    const key = keys[index % 3]!;
    return [key, key === "text" ? "x".repeat(index % 50) : index];
  });
  for (const way of ways) {
    const options: PairsOptions = { partitions: 2, buffer: 2 ** 24, codec: "zstd", ...way };
    const found = await shuffled([pairs.slice(0, 500), pairs.slice(500)], options, 2 ** 16, values);
    const results = keys.map((key) => combine(key, found.get(key)!));
    expect(results).toEqual(
      keys.map((key) =>
        combine(
          key,
          pairs.filter((pair) => pair[0] === key).map((pair) => pair[1]),
        ),
      ),
    );
    if ("combine" in way) expect(Math.max(...[...found.values()].map(({ length }) => length))).toBeLessThanOrEqual(2);
  }
});

test("keys are spread evenly", () => {
  const counts = new Array<number>(10).fill(0);
  for (let index = 0; index < 10_000; index += 1) counts[partitionOf(`user ${index}`, 10)]! += 1;
  expect(Math.min(...counts)).toBeGreaterThan(850);
  expect(Math.max(...counts)).toBeLessThan(1150);
});
