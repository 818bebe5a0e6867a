import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { encoded } from "../../../lib/clouds/kubernetes/deploy/flow-expressions.ts";
import type { FlowStep } from "../../../lib/clouds/kubernetes/runtime/flow-step.ts";
import { writeEnvironment } from "../../../lib/shared/environment.ts";

const SCRIPT = fileURLToPath(new URL("./functions/step-process.ts", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-step-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;

/** Starts a step's process as its pod would. */
function startStep(wish: object, { retries = 0, attempts = 3, timeout = 60, variables = {} } = {}) {
  const file = join(folder, `answer-${count++}`);
  const step: FlowStep = {
    step: "one",
    attempts,
    most: 1000,
    timeout,
    mapping: { ...wish, from: { $: "step:before", at: ["x"] } },
    known: ["step:before"],
  };
  const env = {
    ...writeEnvironment({ place: { nats: "nats://127.0.0.1:1" }, logLevel: "info", tools: {}, sources: {}, links: {} }),
    MILLRACE_STEP: encoded(step),
    MILLRACE_RUN: "run-1",
    MILLRACE_AT: "each[3]/",
    MILLRACE_RETRIES: String(retries),
    MILLRACE_KNOWN_0: encoded({ status: "succeeded", output: { x: 'a "{{text}}" 🎬' } }),
    ...variables,
  };
  const child = spawn(process.execPath, [SCRIPT, file], { env, stdio: ["ignore", "pipe", "inherit"] });
  let log = "";
  child.stdout.on("data", (text) => {
    log += text;
  });
  const ended = once(child, "exit").then(([code]) => ({
    code: code as number,
    answer: existsSync(file)
      ? (JSON.parse(Buffer.from(readFileSync(file, "utf8"), "base64").toString()) as object)
      : undefined,
    log,
  }));
  return { child, ended };
}

test("a step's input is filled in, and its answer written", async () => {
  const { code, answer } = await startStep({ does: "echo" }).ended;
  expect(code).toBe(0);
  expect(answer).toEqual({
    status: "succeeded",
    output: { id: "run-1/each[3]/one", payload: { does: "echo", from: 'a "{{text}}" 🎬' } },
  });
});

test("what a retry helps fails the process, and the last attempt answers it", async () => {
  const wish = { does: "fail", kind: "unavailable" };
  const [first, last] = await Promise.all([startStep(wish).ended, startStep(wish, { retries: 2 }).ended]);
  expect(first).toMatchObject({ code: 1, answer: undefined });
  expect(first.log).toContain("as told");
  expect(last).toMatchObject({
    code: 0,
    answer: { status: "failed", error: { kind: "unavailable", message: "as told" } },
  });
});

test("what no retry helps is answered at once", async () => {
  const { code, answer } = await startStep({ does: "fail", kind: "bad-input" }).ended;
  expect(code).toBe(0);
  expect(answer).toMatchObject({ status: "failed", error: { kind: "bad-input" } });
});

test("a handler that ends the process has not succeeded", async () => {
  expect(await startStep({ does: "exit" }).ended).toMatchObject({ code: 1, answer: undefined });
});

test("a handler that does not end is given up", async () => {
  const { code, answer } = await startStep({ does: "hang" }, { timeout: 0.1, attempts: 1 }).ended;
  expect(code).toBe(0);
  expect(answer).toMatchObject({ status: "failed", error: { kind: "timed-out" } });
}, 30_000);

test("a pod that is to go away interrupts its step, which is done again", async () => {
  const { child, ended } = startStep({ does: "wait" });
  await once(child.stdout, "data");
  child.kill("SIGTERM");
  expect(await ended).toMatchObject({ code: 1, answer: undefined });
});

test("a pod that no workflow has started says so", async () => {
  const { child, ended } = startStep({ does: "echo" }, { variables: { MILLRACE_RUN: "" } });
  child.stdout.resume();
  expect((await ended).code).not.toBe(0);
});
