import { test } from "vitest";
import { killAndFinish } from "../local/kills.ts";

const videos = ["large.mp4", "plain.mp4", "hevc.mp4", "large.mp4", "variable.mkv", "large.mp4"] as const;

/** The seed is a test's name, to run it alone: `npm run soak -- -t "seed 3"`. */
test.each([1, 2, 3, 4, 5])("killed fifty times while it transcodes, seed %i", (seed) =>
  killAndFinish({ kills: 50, seed, longest: 4000, videos }),
);
