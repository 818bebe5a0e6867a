import { test } from "vitest";
import { killAndFinish } from "../local/kills.ts";

const videos = ["large.mp4", "plain.mp4", "hevc.mp4", "large.mp4", "variable.mkv", "large.mp4"] as const;

test(
  "killed twenty times at random moments, the local cloud finishes all that was asked of it, once",
  () => killAndFinish({ kills: 20, seed: 20, longest: 5000, videos }),
  300_000,
);
