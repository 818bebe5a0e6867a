import { test } from "vitest";
import { runThroughKills } from "./flow-kills.ts";

test(
  "killed at random moments, the run goes on, and no step that has ended is done again",
  () => runThroughKills({ items: 60, takes: 40, kills: 4, longest: 1000, seed: 11 }),
  60_000,
);
