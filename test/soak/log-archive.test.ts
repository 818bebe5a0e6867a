import { test } from "vitest";
import { killAndPause } from "../handlers/archive/kill-and-pause.ts";

test.each([1, 2])("a hundred thousand lines, 40 kills and 30 pauses, seed %i", async (seed) => {
  await killAndPause({ each: 8000, kills: 40, pauses: 30, seed });
});
