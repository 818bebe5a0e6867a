import { test } from "vitest";
import { runThroughKills } from "../local/flow-kills.ts";

test.each([1, 2, 3])("a map of ten thousand items through thirty kills, seed %i", (seed) =>
  runThroughKills({ items: 10_000, takes: 0, kills: 30, longest: 2000, seed }),
);
