import { defineConfig } from "vitest/config";
import { SkippedTests } from "../skipped.ts";

/** The tests that want a recent ffmpeg, npm's network, or more time; `run.ts` beside this file gets what they need. */
export default defineConfig({
  test: {
    include: ["test/real/**/*.test.ts", "test/handlers/video/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    pool: "forks",
    maxWorkers: 3,
    reporters: ["default", new SkippedTests()],
  },
});
