import { test } from "vitest";
import { countThroughKills } from "../local/many.ts";

test("three hundred runs through ten kills", () => countThroughKills({ kills: 10, seed: 10, count: 300 }), 300_000);
