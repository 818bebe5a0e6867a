import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AsyncTask, VideoTranscodePipeline } from "../../../lib/index.ts";
import { code } from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import type { Task } from "../../../lib/runtime/tasks/task.ts";
import { FakeFc } from "./fakes/fc.ts";
import { FakeOss } from "./fakes/oss.ts";
import { KEYS } from "./fakes/server.ts";
import { FakeSmq } from "./fakes/smq.ts";
import { FakeTablestore } from "./fakes/tablestore.ts";
import { deploy, inputsOf, ofType, unzipped } from "./stack.ts";

const NODE20 = "/usr/bin/node";
const isNode20 = existsSync(NODE20) && execFileSync(NODE20, ["--version"]).toString().startsWith("v20.");

const report = code<typeof import("../../../examples/async-task/report.ts")>(
  new URL("../../../examples/async-task/report.ts", import.meta.url),
);

/** What Function Compute does with a function, on its version of Node. Prints how the call went, after the log. */
const RUNNER = `
const { handler } = await import(process.argv[2]);
const context = { requestId: "r-1", function: { timeout: 60 }, credentials: JSON.parse(process.argv[4]) };
const show = (outcome) => process.stderr.write("\\n" + JSON.stringify(outcome));
await handler(Buffer.from(process.argv[3], "base64"), context).then(
  (answer) => show({ answer: answer.toString() }),
  (error) => show({ error: error.message, stack: error.stack }),
);
process.exit(0);
`;

describe.skipIf(!isNode20)("deployed code on Node 20, as Function Compute runs it", () => {
  let home: string;
  let stack: readonly RegisteredResource[];
  const before = process.cwd();
  const fc = new FakeFc();
  const tablestore = new FakeTablestore();
  let smq: FakeSmq;
  const buckets = new Map<string, FakeOss>();

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "millrace-node20-"));
    process.chdir(home);
    stack = await deploy((cloud) => {
      new AsyncTask("reports", { cloud, handler: report });
      new VideoTranscodePipeline("videos", { cloud, formats: ["mp4"] });
    });
    smq = new FakeSmq(
      Object.fromEntries(
        ofType(stack, "ServiceQueue").map(({ inputs }) => [String(inputs.queueName), { visibility: 30 }]),
      ),
    );
    for (const { inputs } of ofType(stack, "Bucket")) {
      const name = String(inputs.bucket);
      buckets.set(name, new FakeOss(name));
    }
    await Promise.all([fc, tablestore, smq, ...buckets.values()].map(({ server }) => server.start()));
    await writeFile(join(home, "run.mjs"), RUNNER);
    for (const { name } of ofType(stack, "V3Function")) await install(name);
  });
  afterAll(async () => {
    await fc.close();
    await Promise.all([tablestore, smq, ...buckets.values()].map(({ server }) => server.close()));
    process.chdir(before);
    await rm(home, { recursive: true, force: true });
  });

  /** Unpacks a function's code as the service does, and has the fake service call it. */
  async function install(name: string): Promise<void> {
    const folder = join(home, "functions", name);
    await mkdir(folder, { recursive: true });
    for (const [file, bytes] of Object.entries(unzipped(inputsOf(stack, "BucketObject", `${name}-code`).source))) {
      await writeFile(join(folder, file), bytes);
    }
    const { functionName, timeout } = inputsOf(stack, "V3Function", name);
    const { asyncTask = false } = inputsOf(stack, "V3AsyncInvokeConfig", `${name}-async`);
    fc.functions.set(functionName, {
      timeout,
      asyncTask,
      handler: async (event) => {
        const { outcome } = await call(name, event);
        if (outcome.error !== undefined) throw new Error(outcome.error);
        return Buffer.from(outcome.answer!);
      },
    });
  }

  /** Calls a function in a process of its own. */
  async function call(name: string, event: Buffer | object) {
    const file = join(home, "functions", name, "index.mjs");
    const bytes = Buffer.isBuffer(event) ? event : Buffer.from(JSON.stringify(event));
    const variables = inputsOf(stack, "V3Function", name).environmentVariables as Record<string, string>;
    const args = [join(home, "run.mjs"), file, bytes.toString("base64"), JSON.stringify(KEYS)];
    const env = { PATH: process.env.PATH, ...Object.fromEntries(Object.entries(variables).map(onFakes)) };
    const { stdout, stderr } = await promisify(execFile)(NODE20, args, { env });
    const outcome = JSON.parse(stderr.trim().split("\n").at(-1)!) as { answer?: string; error?: string };
    const log = stdout.trim().split("\n").filter(Boolean);
    return { outcome, log: log.map((line) => JSON.parse(line) as Record<string, unknown>) };
  }

  /** The address of a link with the fakes' places in it. */
  function onFakes([name, value]: [string, string]): [string, string] {
    if (!name.startsWith("MILLRACE_LINK_")) return [name, value];
    const address = JSON.parse(value) as Record<string, string>;
    const bucket = buckets.get(address.bucket ?? address.claims ?? "");
    const places = {
      ...(address.kind === "bucket" ? { endpoint: bucket!.server.origin } : {}),
      ...(address.kind === "task" && {
        bucketEndpoint: bucket!.server.origin,
        queueEndpoint: smq.server.origin,
        tableEndpoint: tablestore.server.origin,
        functionEndpoint: fc.server.origin,
      }),
    };
    return [name, JSON.stringify({ ...address, ...places })];
  }

  const submit = async (name: string, event: object): Promise<Task> => {
    const { outcome } = await call(name, event);
    expect(outcome.error).toBeUndefined();
    return JSON.parse(outcome.answer!) as Task;
  };

  it("has no zstd, which is why the check refuses it", () => {
    const has = execFileSync(NODE20, ["--print", '"createZstdCompress" in require("node:zlib")']);
    expect(has.toString()).toBe("false\n");
  });

  it("a run goes through dispatcher, worker and keeper", async () => {
    const time = "2026-01-01T00:00:00.000Z";
    const order = { millrace: "call", id: "order-1", payload: { month: "May", pages: 2 }, time };
    const run = await submit("reports-task-dispatch", order);
    expect(run).toMatchObject({ task: "reports-task", status: "queued" });
    expect(await submit("reports-task-dispatch", order)).toMatchObject({ id: run.id, deduplicated: true });
    const worker = inputsOf(stack, "V3Function", "reports-task-work").functionName as string;
    const task = () => [...fc.tasks].find(([id]) => id.startsWith(`${worker}/`))?.[1];
    await until(() => task()?.status === "Succeeded");
    expect(JSON.parse(task()!.returnPayload!)).toEqual({ result: { month: "May", pages: 2 } });
    expect(await submit("reports-task-dispatch", order)).toMatchObject({ status: "succeeded", progress: 1 });
    const kept = await call("reports-task-keep", { triggerTime: time, triggerName: "t", payload: "reports-task-keep" });
    expect(JSON.parse(kept.outcome.answer!)).toMatchObject({ turns: expect.any(Number) });
  });

  it("the log is JSON that names run and task", async () => {
    const attempt = {
      millrace: "attempt",
      task: "reports-task",
      id: "by-hand",
      attempt: 1,
      attemptId: "by-hand--a1",
      deadline: Date.now() + 60_000,
      payload: { value: { month: "June", pages: 1 } },
    };
    const { log } = await call("reports-task-work", attempt);
    expect(log).toContainEqual({
      time: expect.any(String),
      level: "info",
      message: "page written",
      run: "by-hand",
      task: "reports-task",
      attempt: 1,
      fields: { month: "June", page: 1 },
    });
  });

  it("an upload and a message start runs of a video; what cannot be transcoded fails in the worker's words", async () => {
    const { bucket } = inputsOf(stack, "Bucket", "videos-uploads");
    const uploads = buckets.get(bucket)!;
    uploads.objects.set("100%+猫.mp4", {
      bytes: Buffer.from("no video"),
      size: 8,
      etag: "ABC",
      modified: Date.now(),
      headers: {},
    });
    const upload = {
      events: [
        {
          eventName: "ObjectCreated:PutObject",
          eventSource: "acs:oss",
          eventTime: "2022-08-13T06:45:43.000Z",
          oss: { bucket: { name: bucket }, object: { key: "100%+猫.mp4", size: 8, eTag: "ABC" } },
          responseElements: { requestId: "62F6" },
        },
      ],
    };
    const run = await submit("videos-transcode-dispatch", upload);
    expect(run).toMatchObject({ task: "videos-transcode", status: "queued" });
    const { queueName } = inputsOf(stack, "ServiceQueue", "videos-requests");
    const message = {
      type: "mns:Queue:SendMessage",
      subject: `acs:mns:cn-hangzhou:1:queues/${queueName}`,
      data: { messageId: "m-1", messageBody: JSON.stringify({ object: "missing.mp4", dst_format: "mp4" }) },
    };
    const { outcome } = await call("videos-transcode-dispatch", [JSON.stringify(message)]);
    expect(outcome.answer).toBeDefined();
    const { functionName } = inputsOf(stack, "V3Function", "videos-transcode-work");
    const tasks = () => [...fc.tasks].filter(([id]) => id.startsWith(`${functionName}/`)).map(([, task]) => task);
    await until(() => tasks().length > 0 && tasks().every(({ status }) => status === "Failed"));
    for (const { taskErrorMessage } of tasks()) expect(taskErrorMessage).toMatch(/^millrace:[a-z-]+: /);
  });

  it("each function's code stays below a megabyte, its map left out", async () => {
    for (const { name } of ofType(stack, "V3Function")) {
      const { size } = await stat(join(home, "functions", name, "index.mjs"));
      expect([name, size < 2 ** 20]).toEqual([name, true]);
    }
  });
});

async function until(holds: () => boolean): Promise<void> {
  for (let asked = 0; asked < 1000; asked += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("it did not come to that within 20 seconds");
}
