import { defineConfig } from "vitest/config";
import { FlakyTests, RETRY } from "../flaky.ts";
import { longestFirst } from "../longest-first.ts";
import { SkippedTests } from "../skipped.ts";

/** The tests that want a recent ffmpeg, npm's network, or more time; `run.ts` beside this file gets what they need. */
export default defineConfig({
  test: {
    include: ["test/real/**/*.test.ts", "test/handlers/video/**/*.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 20_000 } },
    retry: RETRY,
    pool: "forks",
    maxWorkers: 3, // they wait for four tenths of their time: for servers, leases, the engine
    sequence: {
      sequencer: longestFirst([
        "test/real/engine-kubernetes.test.ts",
        "test/real/engine-aws.test.ts",
        "test/real/engine-alicloud.test.ts",
        "test/real/package.test.ts",
        "test/real/python-package.test.ts",
        "test/real/sliced.test.ts",
        "test/real/kills.test.ts",
        "test/real/tasks-aws.test.ts",
        "test/real/streams-kubernetes.test.ts",
        "test/real/keeper-kubernetes.test.ts",
        "test/real/permissions-aws.test.ts",
        "test/real/containers-aws.test.ts",
        "test/real/tasks-kubernetes.test.ts",
        "test/real/videos.test.ts",
      ]),
    },
    reporters: ["default", new SkippedTests(), new FlakyTests()],
  },
});
