import { test } from "vitest";
import { killAndFinish } from "./kills.ts";

test(
  "killed at random moments, the local cloud finishes all that was asked of it, once",
  () => killAndFinish({ kills: 3, seed: 7, longest: 3000, videos: ["large.mp4", "silent.mp4"] }),
  180_000,
);
