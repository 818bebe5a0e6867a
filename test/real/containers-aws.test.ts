import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bundle } from "../../lib/bundle/bundle.ts";
import { connectAws } from "../../lib/clouds/aws/client.ts";
import { StatesPlatform } from "../../lib/clouds/aws/runtime/states-platform.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { isFinal, type Task, type TaskClient, type TaskLogLine } from "../../lib/runtime/tasks/task.ts";
import { OWN_TASK } from "../../lib/shared/environment.ts";
import { CONFORMANCE_TASKS } from "../ports/tasks-conformance.ts";
import type { Work } from "../ports/work.ts";
import { type DeployedTasks, deployTasks, variablesOf } from "./aws/deployed-tasks.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

/** Seconds; containers say three times as often that they live. A busy machine takes some to start one. */
const HEARTBEAT = 8;
const TASK = "tasks-work";

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

let moto: MotoServer;
let folder: string;
let program: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-containers-"));
  [moto, program] = await Promise.all([startMoto(), bundleOf(folder)]);
  process.env.AWS_ACCESS_KEY_ID = moto.credentials.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = moto.credentials.secretAccessKey;
});
afterAll(async () => {
  delete process.env.AWS_ACCESS_KEY_ID;
  delete process.env.AWS_SECRET_ACCESS_KEY;
  await moto?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** As a deployment bundles a worker for Fargate. */
async function bundleOf(outdir: string): Promise<string> {
  const { file: made } = await bundle({
    handler: { file: file("test/ports/work.ts") } as Parameters<typeof bundle>[0]["handler"],
    code: {},
    settings: {},
    entry: file("lib/clouds/aws/runtime/container.ts"),
    ports: { [OWN_TASK]: file("lib/clouds/aws/runtime/own-task.ts") },
    outdir,
    install: [],
    target: "node24",
  });
  return made;
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

let made = 0;
let tasks: DeployedTasks;
let client: TaskClient;
let containers: ChildProcess[];
beforeEach(async () => {
  made += 1;
  const platform = { platform: "fargate", heartbeat: HEARTBEAT } as const;
  const [task] = CONFORMANCE_TASKS;
  tasks = await deployTasks(moto, `containers-${made}`, [task!], platform, systemClock, 1);
  client = connectAws({ addresses: tasks.addresses, credentials: async () => moto.credentials });
  containers = [];
  tasks.workshop.containers.set(`containers-${made}-${TASK}-work`, (variables) => {
    const env = { ...process.env, ...variablesOf(OWN_TASK, tasks.addresses[TASK]!), ...variables };
    const child = spawn(process.execPath, [program], { env, stdio: ["ignore", "pipe", "inherit"] });
    createInterface(child.stdout!).on("line", tasks.log);
    containers.push(child);
  });
});
afterEach(async () => {
  for (const child of containers) child.kill("SIGKILL");
  await Promise.all(containers.map(ended));
  await tasks.close();
});

/** The exit code; null if a signal ended it. */
const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => child.once("exit", resolve));

const submit = (payload: Work) => client.submit(TASK, payload, { id: "a" });
const finish = () => until(({ status }) => isFinal(status));

/** Asks more often than the client does by itself. */
async function until(isSo: (run: Task) => boolean | Promise<boolean>): Promise<Task> {
  for (;;) {
    const run = await client.get(TASK, "a");
    if (run && (await isSo(run))) return run;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Its handler is at work: what it logs is there. */
const untilAtWork = (attempt: number) =>
  until(async () => {
    const lines: TaskLogLine[] = [];
    for await (const line of client.logs(TASK, "a")) lines.push(line);
    return lines.some((line) => line.attempt === attempt && line.message === "waiting");
  });

describe("an attempt in a container, started and heard by Step Functions", () => {
  test("its result comes back, and the container and its execution end well", async () => {
    await submit({ do: "succeed", result: "中".repeat(400_000), milliseconds: 1.25 * HEARTBEAT * 1000 });
    expect(await finish()).toMatchObject({ status: "succeeded", attempts: [{ number: 1 }] });
    expect((await client.audit(TASK, "a"))?.result).toBe("中".repeat(400_000));
    expect(await Promise.all(containers.map(ended))).toEqual([0]);
  });

  test("a failure is the run's, without the keeper", async () => {
    await submit({ do: "fail", kind: "refused" });
    expect(await finish()).toMatchObject({ status: "failed", error: { kind: "refused" } });
    expect(await Promise.all(containers.map(ended))).toEqual([1]);
    expect(tasks.workshop.calls).toEqual([]);
  });

  test("a container that is told to end hands its run back, which uses up no attempt", async () => {
    await submit({ do: "wait" });
    await untilAtWork(1);
    containers[0]!.kill("SIGTERM");
    expect(await ended(containers[0]!)).toBe(1);
    await untilAtWork(2);
    await client.stop(TASK, "a");
    const end = await finish();
    expect(end).toMatchObject({ status: "stopped", attempts: [{ error: { kind: "interrupted" } }, { number: 2 }] });
  });

  test("one that is killed is missed, and its run tried again", async () => {
    await submit({ do: "wait" });
    await untilAtWork(1);
    containers[0]!.kill("SIGKILL");
    const { attempts } = await until(({ attempts }) => attempts.length === 2);
    expect(attempts[0]).toMatchObject({ error: { message: expect.stringContaining("States.Timeout") } });
    await untilAtWork(2);
  });

  test("one whose execution was ended hears of it, and ends though its handler does not listen", async () => {
    await submit({ do: "wait", stubborn: true });
    await untilAtWork(1);
    const world = { signal: new AbortController().signal, clock: systemClock, log: silent, files: folder };
    await new StatesPlatform(tasks.addresses[TASK]!, world).stop({ task: TASK, id: "a", attempt: 1 }, 0);
    expect(await ended(containers[0]!)).toBe(1);
    expect(await client.get(TASK, "a")).toMatchObject({ status: "running" });
  });
});
