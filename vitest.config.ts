import { defineConfig } from "vitest/config";
import { FlakyTests, RETRY } from "./test/flaky.ts";
import { longestFirst } from "./test/longest-first.ts";
import { SkippedTests } from "./test/skipped.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/real/**", "test/soak/**", "node_modules/**"],
    // Limits, not measures: on a busy machine everything takes its time.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    retry: RETRY,
    pool: "forks",
    maxWorkers: 2, // they compute for nine tenths of their time: a third one on two cores only makes the others wait
    sequence: {
      sequencer: longestFirst([
        "test/local/map-reduce.test.ts",
        "test/local/transfer.test.ts",
        "test/readme.test.ts",
        "test/cli/dev.test.ts",
        "test/local/log-archive.test.ts",
        "test/local/edits.test.ts",
        "test/program/evaluate.test.ts",
        "test/bundle/sizes.test.ts",
        "test/ports/alicloud.test.ts",
        "test/ports/alicloud-tasks.test.ts",
        "test/local/sliced-videos.test.ts",
        "test/handlers/video/slices.test.ts",
        "test/local/kills.test.ts",
        "test/handlers/mapreduce/memory.test.ts",
        "test/clouds/local/processes.test.ts",
        "test/clouds/aws/deploy.test.ts",
        "test/clouds/aws/parts.test.ts",
        "test/clouds/kubernetes/parts.test.ts",
        "test/clouds/kubernetes/deploy.test.ts",
      ]),
    },
    reporters: ["default", new SkippedTests(), new FlakyTests()],
  },
});
