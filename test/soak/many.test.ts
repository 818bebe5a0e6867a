import { test } from "vitest";
import { countThroughKills } from "../local/many.ts";

test.each([1, 2, 3])("a thousand runs through fifty kills, seed %i", (seed) =>
  countThroughKills({ kills: 50, seed, count: 1000 }),
);
