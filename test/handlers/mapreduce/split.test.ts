import fc from "fast-check";
import { expect, test } from "vitest";
import { MOST_SHARDS, planShards } from "../../../lib/handlers/mapreduce/split.ts";

const SIZE = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 10_000_000 }));
const OBJECTS = fc
  .array(fc.tuple(SIZE, fc.boolean()), { maxLength: 3000 })
  .map((sizes) =>
    sizes.map(([size, isGzip], index) => ({ key: `${index}${isGzip ? ".gz" : ""}`, etag: "etag", size })),
  );

test("every byte is in one shard, in order, and there are not too many of them", () => {
  fc.assert(
    fc.property(OBJECTS, fc.integer({ min: 50, max: 5_000_000 }), (objects, shardSize) => {
      const { shards, size } = planShards(objects, shardSize);
      expect(size).toBe(objects.reduce((sum, object) => sum + object.size, 0));
      expect(shards.length).toBeLessThanOrEqual(MOST_SHARDS);
      expect(shards.every((pieces) => pieces.length > 0)).toBe(true);
      const ends = new Map<string, number>();
      for (const { key, from, to } of shards.flat()) {
        expect(from).toBe(ends.get(key) ?? 0);
        expect(to).toBeGreaterThan(from);
        if (key.endsWith(".gz")) expect(from).toBe(0);
        ends.set(key, to);
      }
      expect([...ends].sort()).toEqual(objects.map((object) => [object.key, object.size]).sort());
    }),
    { numRuns: 30 },
  );
});

test("small objects are put together, large ones are cut evenly", () => {
  const objects = [10, 20, 30, 1000, 40, 60].map((size, index) => ({ key: String(index), etag: "etag", size }));
  const { shards } = planShards(objects, 100);
  const sizes = shards.map((pieces) => pieces.map(({ from, to }) => to - from));
  expect(sizes).toEqual([...Array.from({ length: 10 }, () => [100]), [10, 20, 30, 40], [60]]);
});
