import { expect, test } from "vitest";
import { local } from "../../lib/clouds/local/index.ts";
import { AsyncTask, code, VideoTranscodePipeline } from "../../lib/index.ts";
import { synthesize } from "../../lib/testing/index.ts";

const report = code<typeof import("../../examples/async-task/report.ts")>(
  new URL("../../examples/async-task/report.ts", import.meta.url),
);

test("the plan and every registered resource", async () => {
  const { plan, problems, resources } = await synthesize(() => {
    new VideoTranscodePipeline("videos", { cloud: local(), formats: ["mp4", "flv"] });
  });
  expect(problems).toEqual([]);
  expect(plan.constructs).toMatchObject([{ name: "videos", type: "VideoTranscodePipeline" }]);
  expect(resources.map(({ type, name }) => [type, name])).toEqual([
    ["millrace:clouds:local", "local"],
    ["millrace:constructs:VideoTranscodePipeline", "videos"],
  ]);
});

test("what the cloud refuses, over all constructs", async () => {
  const { problems } = await synthesize(() => {
    const cloud = local();
    new AsyncTask("one", { cloud, handler: report, timeout: "25 hours" });
    new AsyncTask("two", { cloud, handler: report, attempts: 0 });
  });
  expect(problems.map(({ path }) => path)).toEqual(["one-task.timeout", "two-task.attempts"]);
});

test("one synthesis leaves nothing to the next, not even when the program throws", async () => {
  await expect(
    synthesize(() => {
      throw new Error("no program");
    }),
  ).rejects.toThrow("no program");
  const { plan } = await synthesize(() => new AsyncTask("one", { cloud: local(), handler: report }));
  expect(plan.constructs.map(({ name }) => name)).toEqual(["one"]);
});
