import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startDev } from "../../lib/clouds/local/dev.ts";
import { SUPPORT } from "../../lib/clouds/support.ts";
import type { CloudKind } from "../../lib/parts/plan.ts";
import type { Task } from "../../lib/runtime/index.ts";
import type { LocalCloud } from "../../lib/testing/index.ts";
import { millrace } from "../cli/run.ts";
import type { Order } from "./programs/workshop.ts";
import { envelopes, PROJECT, scene } from "./scene.ts";

const program = fileURLToPath(new URL("./programs/workshop-stack.ts", import.meta.url));
const PASSWORD = "correct horse battery staple 4711";
const VARIABLE = "MILLRACE_CONFIG_MILLRACE_PASSWORD";

beforeAll(() => {
  process.env[VARIABLE] = PASSWORD;
});
afterAll(() => {
  delete process.env[VARIABLE];
});

const ask = async (cloud: LocalCloud, order: Order): Promise<Task> => {
  const { id } = await cloud.tasks.submit("workshop", order);
  return cloud.tasks.wait("workshop", id);
};

/** Files under a folder that hold the text. */
const holding = (folder: string, text: string): readonly string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => readFileSync(path).includes(text));

describe("a function may do what it is linked to do", () => {
  test("the rest is refused in words; a secret is read and lies nowhere; the first failure raises the alarm", async () => {
    const { start, folder } = scene();
    const heard: unknown[] = [];
    const cloud = await start({ program, onEvent: (event) => event.type === "alarm.changed" && heard.push(event) });
    const secret = await ask(cloud, { ask: "secret" });
    const hash = createHash("sha256").update(PASSWORD).digest("hex");
    expect(secret).toMatchObject({ status: "succeeded", resultPreview: JSON.stringify(hash) });
    const written = await ask(cloud, { ask: "write" });
    expect(written).toMatchObject({
      status: "failed",
      error: {
        kind: "refused",
        message:
          'function "workshop-task-work" may not put objects into "stores-papers"; link it: links: { papers: all(read(papers), write(papers)) }',
      },
    });
    expect(cloud.usedVerbs("workshop-task-work")).toEqual([{ part: "stores-password", action: "secret.read" }]);

    const alarm = { part: "workshop-task", metric: "failures", state: "alarm", value: 1, above: 0 };
    await expect.poll(async () => (await cloud.queues.stats("pager-messages")).ready, { timeout: 5000 }).toBe(1);
    const [message] = await cloud.queues.peek("pager-messages", 10);
    expect(JSON.parse(message!.body)).toMatchObject({ monitor: "watch-alarms", ...alarm });
    expect(heard).toContainEqual(expect.objectContaining({ type: "alarm.changed", monitor: "watch-alarms", ...alarm }));

    expect(holding(folder, "stores-password")).not.toEqual([]);
    expect(holding(folder, PASSWORD)).toEqual([]);
    await cloud.close();
    expect(holding(folder, PASSWORD)).toEqual([]);
  });

  test("a secret without a value is asked for by the name of its variable", async () => {
    const { folder } = scene();
    delete process.env[VARIABLE];
    const started = startDev({ folder, program, project: PROJECT, watch: false, onEvent: () => {} });
    await expect(started).rejects.toThrow(`set the environment variable ${VARIABLE} to its value`);
    process.env[VARIABLE] = PASSWORD;
  });
});

describe.each(["alicloud", "aws", "kubernetes"] as const)("as %s", (as: Exclude<CloudKind, "local">) => {
  const { taskPayloadBytes, queueMessageBytes, queueDelaySeconds } = SUPPORT[as].limits;
  // Where alarms cannot go to a queue, the workshop has nobody to tell.
  const { notify } = SUPPORT[as].parts.monitor.options;
  beforeAll(() => {
    if (notify.level === "refused") process.env.WORKSHOP_PAGER = "off";
  });
  afterAll(() => {
    delete process.env.WORKSHOP_PAGER;
  });

  test("messages keep its limits, payloads and results above them lie in a bucket", async () => {
    const cloud = await scene().start({ program, as });
    const most = queueMessageBytes!.value;
    expect(await ask(cloud, { ask: "send", bytes: most })).toMatchObject({ status: "succeeded" });
    const error = { kind: "refused", message: expect.stringContaining("allowed: up to") };
    expect(await ask(cloud, { ask: "send", bytes: most + 1 })).toMatchObject({ status: "failed", error });
    await expect(cloud.queues.send("outbox-messages", "x".repeat(most + 1))).rejects.toThrow("allowed: up to");
    if (queueDelaySeconds) {
      const delay = queueDelaySeconds.value;
      expect(await ask(cloud, { ask: "send", bytes: 1, delay })).toMatchObject({ status: "succeeded" });
      expect(await ask(cloud, { ask: "send", bytes: 1, delay: delay + 1 })).toMatchObject({ status: "failed", error });
      await expect(cloud.queues.send("outbox-messages", "", { delay: delay + 1 })).rejects.toThrow("allowed: up to");
    }

    const text = "猫".repeat(taskPayloadBytes!.value / 2);
    const echoed = await ask(cloud, { ask: "echo", text });
    expect(echoed).toMatchObject({ status: "succeeded" });
    expect((await cloud.tasks.audit("workshop", echoed.id))?.result).toBe(text);
    const failed = await ask(cloud, { ask: "fail", message: text.slice(0, 10), text } as Order);
    const told = (await envelopes(cloud, "workshop-failures")).find(({ task }) => task.id === failed.id);
    const reference = { bucket: expect.any(String), key: expect.any(String), preview: expect.stringContaining("fail") };
    expect(told?.requestPayload).toMatchObject(reference);
  });
});

test("all that a cloud refuses of a plan is said at once", async () => {
  const { env } = scene();
  const greedy = fileURLToPath(new URL("./programs/greedy.ts", import.meta.url));
  const { code, out, err } = await millrace(["synth", greedy, "--as", "aws"], { cwd: PROJECT, env });
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toMatch(/^millrace: [3-9] problems\n/);
  for (const path of ["greedy-task.timeout", "greedy-task-work.memory", "outbox-late.delay"])
    expect(err).toContain(path);
});
