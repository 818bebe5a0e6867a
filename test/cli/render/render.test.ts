import pico from "picocolors";
import { describe, expect, it } from "vitest";
import { renderMermaid } from "../../../lib/cli/render/mermaid.ts";
import { renderLogLine } from "../../../lib/cli/render/run.ts";
import { renderTree } from "../../../lib/cli/render/tree.ts";
import type { FunctionPlan, PartKind, Plan, PlanOf } from "../../../lib/parts/plan.ts";

const part = <Kind extends PartKind>(kind: Kind, name: string, fields: Partial<PlanOf<Kind>>): PlanOf<Kind> =>
  ({ kind, name, stem: name, construct: "videos", cloud: "local", ...fields }) as PlanOf<Kind>;

const FUNCTION: Partial<FunctionPlan> = { timeout: 60, memory: 512 * 2 ** 20, links: {}, sources: [], tools: [] };
const PLAN: Plan = {
  version: 1,
  project: "media",
  stack: "dev",
  clouds: [{ name: "local", kind: "local" }],
  constructs: [
    { name: "videos", type: "VideoTranscodePipeline", id: "videos", cloud: "local" },
    { name: "videos-inner", type: "AsyncTask", id: "inner", cloud: "local", parent: "videos" },
  ],
  parts: [
    part("bucket", "videos-uploads", { versioned: false, removable: true, expires: 30 * 86_400 }),
    part("bucket", "videos-outputs", { versioned: true, removable: false, existing: "mine" }),
    part("queue", "videos-failures", { visibility: 60, retention: 345_600, delay: 0 }),
    part("queue", "videos-requests", {
      visibility: 90,
      retention: 3600,
      delay: 5,
      attempts: 5,
      deadLetters: "videos-failures",
    }),
    part("schedule", "videos-nightly", { timing: { cron: "0 4 * * *", timeZone: "UTC" }, enabled: true }),
    part("secret", "videos-key", { config: "apiKey" }),
    part("function", "videos-work", {
      ...FUNCTION,
      timeout: 3600,
      memory: 2 * 2 ** 30,
      tools: ["ffmpeg"],
      links: {
        uploads: { part: "videos-uploads", actions: ["bucket.read"] },
        outputs: { part: "videos-outputs", actions: ["bucket.read", "bucket.write"] },
      },
    }),
    part("function", "videos-dispatch", {
      ...FUNCTION,
      failures: "videos-failures",
      links: { task: { part: "videos-transcode", actions: ["task.submit"] } },
      sources: [
        { type: "bucket.created", bucket: "videos-uploads", prefix: "in/", suffix: "" },
        { type: "queue.received", queue: "videos-requests", batch: 10, window: 0 },
        { type: "schedule.fired", schedule: "videos-nightly" },
      ],
    }),
    part("task", "videos-transcode", {
      construct: "videos-inner",
      worker: "videos-work",
      timeout: 86_400,
      attempts: 1,
      concurrency: 4,
      onSuccess: [],
      onFailure: [{ kind: "queue", name: "videos-failures" }],
    }),
    part("monitor", "videos-alarms", {
      construct: "videos-inner",
      alarms: [{ part: "videos-transcode", metric: "failures", above: 0, period: 300 }],
      notify: [{ kind: "queue", name: "videos-failures" }],
    }),
  ],
};

describe("renderTree", () => {
  it("shows constructs, parts, sources, and permissions in words", () => {
    expect(renderTree(PLAN, { colour: false })).toMatchInlineSnapshot(`
      "media, stack dev, on local
      └─ videos  VideoTranscodePipeline
         ├─ videos-uploads       bucket                                                        kept 30 days, removable
         ├─ videos-outputs       bucket                                                        existing mine, versioned
         ├─ videos-failures      queue                                                         hidden 1 minute, kept 4 days
         ├─ videos-requests      queue     after 5 receives to videos-failures                 hidden 90 seconds, kept 1 hour, delayed 5 seconds
         ├─ videos-nightly       schedule  cron 0 4 * * * UTC
         ├─ videos-key           secret    from config apiKey
         ├─ videos-work          function  reads videos-uploads, reads and writes videos-outputs  1 hour, 2 GB, with ffmpeg
         ├─ videos-dispatch      function  submits to videos-transcode, failures go to videos-failures  1 minute, 512 MB
         │  ├─ when an object appears in videos-uploads (prefix "in/")
         │  ├─ when a message comes into videos-requests (up to 10 at once)
         │  └─ when videos-nightly comes round
         └─ videos-inner  AsyncTask
            ├─ videos-transcode  task      runs videos-work, tells videos-failures of failure  1 day, 1 attempt, 4 at once
            └─ videos-alarms     monitor   failures of videos-transcode above 0                tells videos-failures"
    `);
  });

  it("colours on request only, without moving anything", () => {
    const coloured = renderTree(PLAN, { colour: true });
    expect(coloured).toContain("\u001b[");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is how colours are written
    expect(coloured.replace(/\u001b\[\d+m/g, "")).toBe(renderTree(PLAN, { colour: false }));
  });

  it("names the cloud of each construct where there are two", () => {
    const clouds = [...PLAN.clouds, { name: "aws-eu", kind: "aws" as const }];
    const text = renderTree({ ...PLAN, clouds }, { colour: false });
    expect(text).toContain("on local and aws-eu");
    expect(text).toContain("VideoTranscodePipeline on local");
  });

  it("shows a stack without parts", () => {
    expect(renderTree({ ...PLAN, constructs: [], parts: [] }, { colour: false })).toBe("media, stack dev, on local");
  });
});

describe("renderMermaid", () => {
  it("draws parts by shape and what flows between them", () => {
    expect(renderMermaid(PLAN)).toMatchInlineSnapshot(`
      "flowchart LR
        subgraph c0["videos: VideoTranscodePipeline"]
          p0[("videos-uploads")]
          p1[("videos-outputs")]
          p2(["videos-failures"])
          p3(["videos-requests"])
          p4(("videos-nightly<br>cron 0 4 * * * UTC"))
          p5>"videos-key"]
          p6["videos-work"]
          p7["videos-dispatch"]
        end
        subgraph c1["videos-inner: AsyncTask"]
          p8[["videos-transcode"]]
          p9{{"videos-alarms"}}
        end
        p3 -->|"dead letters"| p2
        p0 -.->|"read"| p6
        p6 <-.->|"read, write"| p1
        p0 -->|"created"| p7
        p3 -->|"received"| p7
        p4 -->|"fired"| p7
        p7 -.->|"submit"| p8
        p7 -->|"failures"| p2
        p8 -->|"runs"| p6
        p8 -->|"failure"| p2
        p8 -.->|"failures"| p9
        p9 -->|"alarm"| p2"
    `);
  });

  it("writes names as text, whatever they hold", () => {
    const name = 'a"];click x "javascript:1" %% `b` #quot; <b>&\n视频 🎬';
    const plan = {
      ...PLAN,
      constructs: [{ ...PLAN.constructs[0]!, name }],
      parts: [part("bucket", name, { construct: name })],
    };
    const lines = renderMermaid(plan).split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[2]).toMatch(/^ {4}p0\[\("[\p{L}\p{N} .,:_/+*#;-]+"\)\]$/u);
    expect(lines[2]).toContain("a#34;#93;#59;click");
    expect(lines[2]).toContain("视频 #127916;");
  });

  it("leaves out arrows to what is not in the plan", () => {
    const lost = part("function", "lost", { ...FUNCTION, failures: "gone" } as Partial<FunctionPlan>);
    expect(renderMermaid({ ...PLAN, parts: [lost] })).not.toContain("-->");
  });
});

it("a log line's fields are whole in the run's own log, and cut among other news", () => {
  const words = "x".repeat(5000);
  const line = {
    time: "2026-11-21T10:00:00.000Z",
    attempt: 1,
    level: "info",
    message: "args",
    fields: { words },
  } as const;
  const colors = pico.createColors(false);
  expect(renderLogLine(line, colors).length).toBeLessThan(400);
  expect(renderLogLine(line, colors, { isWhole: true })).toContain(words);
});
