import { expect, test } from "vitest";
import { SUPPORT } from "../../lib/clouds/support.ts";
import {
  VideoTranscodePipeline,
  type VideoTranscodePipelineArgs,
} from "../../lib/constructs/video-transcode-pipeline.ts";
import { formatProblem, ProblemsError } from "../../lib/shared/problem.ts";
import { RecordingCloud } from "../recording.ts";

const declare = (args: VideoTranscodePipelineArgs) => {
  const cloud = new RecordingCloud(SUPPORT.local);
  const videos = new VideoTranscodePipeline("videos", { cloud, ...args });
  return { cloud, videos };
};

/** What is refused, a line for each problem. */
function refused(args: object): string {
  try {
    declare(args as VideoTranscodePipelineArgs);
  } catch (error) {
    if (error instanceof ProblemsError) return error.problems.map(formatProblem).join("\n");
    throw error;
  }
  return "nothing was refused";
}

const functionPlan = (cloud: RecordingCloud, name: string) => {
  const plan = cloud.parts.get(name)!.plan;
  if (plan.kind !== "function") throw new Error(`${name} is a ${plan.kind}`);
  return plan;
};

test("without settings it makes browser mp4s of everything that is put into its own bucket", () => {
  const { cloud, videos } = declare({});

  const dispatcher = functionPlan(cloud, "videos-transcode-dispatch");
  expect(dispatcher.sources).toEqual([
    { type: "bucket.created", bucket: "videos-uploads", prefix: "", suffix: "" },
    { type: "queue.received", queue: "videos-requests", batch: 1, window: 0 },
  ]);
  const worker = functionPlan(cloud, "videos-transcode-work");
  expect(worker.tools).toEqual(["ffmpeg", "ffprobe"]);
  expect(worker.links).toEqual({
    uploads: { part: "videos-uploads", actions: ["bucket.read"] },
    outputs: { part: "videos-outputs", actions: ["bucket.write"] },
  });
  expect(worker.settings).toMatchObject({
    renditions: [
      {
        format: "mp4",
        name: "video",
        picture: { codec: "h264", crf: 23, preset: "medium", upscale: false },
        sound: { codec: "aac", bitrate: 128_000 },
      },
    ],
    outputPrefix: "",
  });
  expect(dispatcher.settings).toEqual(worker.settings);
  expect(worker).toMatchObject({ timeout: 7200, memory: 4 * 2 ** 30, cpu: 2 });
  expect(videos.runs.plan.onFailure).toEqual([{ kind: "queue", name: "videos-failures" }]);
  expect(videos.requests.plan.deadLetters).toBe("videos-dead-letters");
});

test("several endings are several sources; one bucket may be both when the prefixes are apart", () => {
  const { cloud, videos } = declare({});
  const both = new VideoTranscodePipeline("both", {
    cloud,
    uploads: videos.uploads,
    outputs: videos.uploads,
    prefix: "in/",
    suffixes: [".mp4", ".mov"],
    outputPrefix: "out/",
  });
  expect(both.uploads).toBe(videos.uploads);
  expect(functionPlan(cloud, "both-transcode-dispatch").sources.slice(0, 2)).toEqual([
    { type: "bucket.created", bucket: "videos-uploads", prefix: "in/", suffix: ".mp4" },
    { type: "bucket.created", bucket: "videos-uploads", prefix: "in/", suffix: ".mov" },
  ]);
  expect(functionPlan(cloud, "both-transcode-work").settings.trigger).toEqual({
    prefix: "in/",
    suffixes: [".mp4", ".mov"],
  });
});

test("an output prefix inside the trigger's is refused where the buckets are one", () => {
  const { cloud, videos } = declare({});
  const loop = { cloud, uploads: videos.uploads, outputs: videos.uploads };
  expect(() => new VideoTranscodePipeline("loop", { ...loop, prefix: "in/", outputPrefix: "in/out/" })).toThrow(
    /loop\.outputPrefix: .*would start runs again/,
  );
  expect(() => new VideoTranscodePipeline("all", { ...loop, outputPrefix: "out/" })).toThrow(/all\.outputPrefix/);
});

test.each([
  [{ formats: [] }, /videos\.formats: name at least one/],
  [
    { sufixes: [".mp4"], timout: "1 hour" },
    /videos\.sufixes: there is no such option\nvideos\.timout: there is no such option/,
  ],
  [{ formats: ["mp5"] }, /videos\.formats\[0\]: there is no such format \(given "mp5"; allowed: mp4, mov/],
  [{ formats: [{ format: "mp4", hight: 720 }] }, /videos\.formats\[0\]\.hight: there is no such option/],
  [{ formats: [{ format: "mp4", height: 721 }] }, /formats\[0\]\.height: players want even heights \(given 721\)/],
  [{ formats: [{ format: "mp4", height: "720p" }] }, /formats\[0\]\.height: .*expected number.*given "720p"/],
  [{ formats: [{ format: "mp3", height: 720 }] }, /formats\[0\]\.height: mp3 has no use for it/],
  [
    { formats: [{ format: "webm", codec: "h264" }] },
    /formats\[0\]\.codec: webm can't hold this codec \(given "h264"; allowed: vp9, copy\)/,
  ],
  [{ formats: [{ format: "mp4", codec: "copy", height: 720 }] }, /formats\[0\]\.height: codec "copy" changes nothing/],
  [
    { formats: [{ format: "mp4", crf: 20, bitrate: "2 Mbps" }] },
    /formats\[0\]\.crf: constant quality and a bitrate exclude/,
  ],
  [{ formats: [{ format: "mp4", crf: 60 }] }, /formats\[0\]\.crf: h264 goes up to 51/],
  [{ formats: [{ format: "mp4", bitrate: "fast" }] }, /formats\[0\]\.bitrate: a bitrate such as/],
  [
    { formats: [{ format: "mp4", clip: { start: "9 seconds", end: "3 seconds" } }] },
    /formats\[0\]\.clip: must end after it starts/,
  ],
  [{ formats: [{ format: "jpeg", every: "0 seconds" }] }, /formats\[0\]\.every: must be longer than zero/],
  [{ formats: [{ format: "jpeg", every: "1 second", at: "1 second" }] }, /formats\[0\]\.at: .*exclude each other/],
  [{ formats: ["mp4", "mp4"] }, /formats: two renditions would be called video\.mp4/],
  [{ formats: [{ format: "mp4", name: "../x" }] }, /formats\[0\]\.name: a name is/],
  [
    { formats: [{ format: "mp4", watermark: { text: "hi", color: "red:enable=1" } }] },
    /watermark\.color: a color is a name/,
  ],
  [
    { formats: [{ format: "mp4", watermark: { text: "磨坊" } }] },
    /watermark: the built-in font has Latin, Greek and Cyrillic/,
  ],
  [
    { formats: [{ format: "mp4", watermark: { image: "logo.png", text: "both" } }] },
    /watermark\.(text|image): there is no such option/,
  ],
  [{ accepts: ["wmv"] }, /videos\.accepts\[0\]: there is no such format/],
  [{ suffixes: ["mp4"] }, /videos\.suffixes\[0\]: an ending begins with a dot/],
  [{ prefix: "/in" }, /videos\.prefix: a prefix of keys has no slash/],
  [
    { slices: { over: "much", atMost: 0, length: "0 seconds", lenght: "1 minute" } },
    /slices\.lenght: there is no such option\n.*slices\.over: a size is .*\n.*slices\.length: must be longer than zero.*\n.*slices\.atMost: a whole number/,
  ],
  [{ slices: "sometimes" }, /videos\.slices: .*allowed: such as \{ over: "1 GB" \}, or "always", or "never"/],
  [{ outputPrefix: "a/../b/" }, /videos\.outputPrefix: a prefix of keys/],
])("%j is refused, in words", (args, words) => {
  expect(refused(args)).toMatch(words);
});

test("with slices, what starts runs may start a workflow, whose steps touch the work bucket and end in the task's run", () => {
  const { cloud, videos } = declare({ formats: ["mp4", "jpeg"], slices: { over: "100 MB", length: "30 seconds" } });

  const dispatcher = functionPlan(cloud, "videos-dispatch");
  expect(dispatcher.sources.map(({ type }) => type)).toEqual(["bucket.created", "queue.received"]);
  expect(functionPlan(cloud, "videos-transcode-dispatch").sources).toEqual([]);
  expect(dispatcher.links).toEqual({
    uploads: { part: "videos-uploads", actions: ["bucket.read"] },
    task: { part: "videos-transcode", actions: ["task.submit"] },
    sliced: { part: "videos-sliced", actions: ["workflow.start"] },
  });
  expect(dispatcher.settings.slices).toEqual({ over: 100 * 2 ** 20 });
  expect(functionPlan(cloud, "videos-plan").settings).toMatchObject({ cut: { length: 30, atMost: 40 } });
  expect(functionPlan(cloud, "videos-slice")).toMatchObject({
    links: {
      uploads: { part: "videos-uploads", actions: ["bucket.read"] },
      work: { part: "videos-work", actions: ["bucket.read", "bucket.write"] },
    },
    ...{ tools: ["ffmpeg", "ffprobe"], timeout: 900, memory: 4 * 2 ** 30, cpu: 2 },
  });
  expect(functionPlan(cloud, "videos-clean").links).toEqual({
    work: { part: "videos-work", actions: ["bucket.read", "bucket.remove"] },
  });
  expect(functionPlan(cloud, "videos-transcode-work").links.work).toEqual({
    ...{ part: "videos-work", actions: ["bucket.read"] },
  });
  const { steps } = videos.sliced!.plan.definition;
  expect(steps.map(({ type, name }) => `${type} ${name}`)).toEqual(["parallel slices", "task join", "function clean"]);
  expect(steps[1]).toMatchObject({ task: "videos-transcode", id: { $: "input", at: ["id"] } });
});

test("without slices there is nothing of them, on any cloud", () => {
  for (const args of [{}, { slices: "never" }] as const) {
    const { cloud, videos } = declare(args);
    expect(videos.sliced).toBeUndefined();
    expect([...cloud.parts.values()].filter(({ kind }) => kind === "workflow")).toEqual([]);
    expect([...cloud.parts.keys()]).not.toContain("videos-work");
  }
});

test("all that is wrong is said in one error", () => {
  const said = refused({
    formats: ["mp5", { format: "mp4", height: 8, crf: "low" }],
    accepts: ["wmv"],
    outputPrefix: "/x",
  });
  expect(said.split("\n")).toHaveLength(5);
});
