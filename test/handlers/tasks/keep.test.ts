import { describe, expect, test } from "vitest";
import { Tables } from "../../../lib/clouds/local/host/tables.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";
import { handler, type KeepSettings, toFinished } from "../../../lib/handlers/tasks/keep.ts";
import type { FunctionInvoked, ScheduleFired } from "../../../lib/runtime/events.ts";
import type { Log } from "../../../lib/runtime/handler.ts";
import type { TaskDefinition } from "../../../lib/runtime/tasks/definition.ts";
import { TaskService } from "../../../lib/runtime/tasks/service.ts";
import { TableTaskStore } from "../../../lib/runtime/tasks/table-store.ts";
import { tablePlan } from "../../clouds/local/plans.ts";
import { seeded } from "../../runtime/tasks/simulation.ts";
import { definition, HandPlatform, memoryBucket, tempJournal } from "../../runtime/tasks/world.ts";

/** A deployed task: a table and a platform that stay, and processes that come for one call and are gone. */
function deployed(task: TaskDefinition = definition()) {
  const clock = new VirtualClock();
  const tables = new Tables({ journal: tempJournal(), clock });
  tables.define(tablePlan("tasks"));
  const table = { ...tables.reader("tasks"), ...tables.writer("tasks") };
  const platform = new HandPlatform();
  const claims = memoryBucket();
  const told: string[] = [];
  const warnings: string[] = [];
  let destinationAnswers = true;
  let seed = 0;
  const log: Log = { debug() {}, info() {}, warn: (text) => void warnings.push(text), error() {} };
  const process = () => {
    seed += 1;
    return new TaskService({
      definitions: new Map([[task.name, task]]),
      store: new TableTaskStore({ table, tasks: [task.name], clock, random: seeded(seed) }),
      platform,
      deliver: (_to, envelope) => {
        if (!destinationAnswers) throw new Error("no answer");
        told.push(`${envelope.task.id} ${envelope.task.status}`);
      },
      claims,
      dispatch: () => Promise.reject(new Error("no dispatcher")),
      logs: { append: async () => {}, read: async () => [], watch: () => () => {}, remove: async () => {} },
      clock,
      random: () => 0.5,
      log,
      limits: { taskPayloadBytes: 1000 },
    });
  };
  const keep = async (
    event: Partial<FunctionInvoked> = {},
    { settings = {}, seconds = 60 }: { settings?: KeepSettings; seconds?: number } = {},
  ) => {
    const time = new Date(clock.now()).toISOString();
    const scheduled: ScheduleFired = { type: "schedule.fired", id: "tick", schedule: "keep", time };
    const invoked: FunctionInvoked = { type: "function.invoked", id: "call", time, payload: undefined, ...event };
    const kept = handler("payload" in event ? invoked : scheduled, {
      links: { tasks: process() },
      settings,
      code: {},
      run: { id: "keep", attempt: 1, deadline: clock.now() + seconds * 1000, progress() {} },
      signal: new AbortController().signal,
      log,
      metrics: { count() {}, gauge() {} },
      clock,
      tools: {},
      scratch: "",
    });
    let isDone = false;
    const end = () => {
      isDone = true;
    };
    kept.then(end, end);
    // Its waits pass as time does.
    for (let turn = 0; turn < 20_000 && !isDone; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (turn % 30 === 29 && !isDone) await clock.advance("1 second");
    }
    return kept;
  };
  return {
    clock,
    platform,
    claims,
    told,
    warnings,
    keep,
    async call<Result>(work: (service: TaskService) => Promise<Result>): Promise<Result> {
      const service = process();
      const result = await work(service);
      await service.close();
      return result;
    },
    status: async (id: string) => (await process().get("work", id))?.status,
    answer: (does: boolean) => {
      destinationAnswers = does;
    },
    /** An end that is reported by the worker's own process. */
    async finish(id: string, error?: string) {
      const service = process();
      const attempt = (await service.get("work", id))!.attempts.at(-1)!.number;
      platform.running.delete(`${id}--a${attempt}`);
      await service.finished(
        { task: "work", id, attempt },
        error === undefined ? { result: 1 } : { error: { kind: "failed", message: error } },
      );
      await service.settled();
    },
    advance: (seconds: number) => clock.advance(`${seconds} seconds`),
  };
}

describe("on its schedule", () => {
  test("with nothing to do it looks once", async () => {
    const { keep } = deployed();
    expect(await keep()).toEqual({ turns: 1 });
  });

  test("it starts what was accepted by a process that died, and what was delayed", async () => {
    const { keep, call, platform, advance } = deployed();
    await call((service) => service.submit("work", 1, { id: "now" }));
    await call((service) => service.submit("work", 1, { id: "later", delay: "10 minutes" }));
    platform.started.length = 0;
    platform.running.clear();
    const { next } = await keep();
    expect(Date.parse(next!)).toBeGreaterThan(0);
    await advance(600);
    await keep();
    expect(platform.started.map(({ id }) => id)).toContain("later");
  });

  test("it waits for what is due soon, not for what is due later, and not for ever", async () => {
    const backoff = { first: 8, factor: 10, longest: 100 };
    const { keep, call, platform, finish, clock } = deployed(definition({ backoff }));
    await call((service) => service.submit("work", 1, { id: "a" }));
    await keep();
    await finish("a", "first");
    const before = clock.now();
    await keep();
    expect(platform.started.map(({ attemptId }) => attemptId)).toEqual(["a--a1", "a--a2"]);
    expect(clock.now() - before).toBeLessThan(10_000);
    await finish("a", "second");
    const { next } = await keep();
    expect(platform.started).toHaveLength(2);
    expect(Date.parse(next!) - clock.now()).toBeGreaterThan(10_000);
    // Asked to, it waits longer; its own deadline is the bound.
    await keep({}, { settings: { patience: 600 }, seconds: 300 });
    expect(platform.started).toHaveLength(3);
  });

  test("it gives up what has expired", async () => {
    const { keep, call, advance, status, told } = deployed(definition({ concurrency: 0, expires: 60 }));
    await call((service) => service.submit("work", 1, { id: "a" }));
    await advance(60);
    await keep();
    expect(await status("a")).toBe("expired");
    expect(told).toEqual(["a expired"]);
  });

  test("it asks the platform about attempts nobody has heard of", async () => {
    const { keep, call, platform, advance, status } = deployed(definition({ timeout: 3600 }));
    for (const id of ["runs", "gone", "over"]) await call((service) => service.submit("work", 1, { id }));
    await keep();
    platform.running.delete("gone--a1");
    platform.running.delete("over--a1");
    platform.known.set("over--a1", { result: 1 });
    await advance(301);
    await keep();
    expect([await status("runs"), await status("over")]).toEqual(["running", "succeeded"]);
    expect(platform.started.filter(({ id }) => id === "gone").map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  test("it tells the destinations that did not answer", async () => {
    const { keep, call, finish, advance, told, answer } = deployed();
    await call((service) => service.submit("work", 1, { id: "a" }));
    await keep();
    answer(false);
    await finish("a");
    expect(told).toEqual([]);
    answer(true);
    await advance(10);
    await keep();
    expect(told).toEqual(["a succeeded"]);
  });

  test("it forgets what is over, with the objects it left", async () => {
    const { keep, call, finish, advance, claims, status } = deployed(definition({ retention: 3600 }));
    await call((service) => service.submit("work", "x".repeat(2000), { id: "a" }));
    await keep();
    await finish("a");
    await keep();
    expect([claims.objects.size, await status("a")]).toEqual([1, "succeeded"]);
    await advance(3600);
    await keep();
    expect([claims.objects.size, await status("a")]).toEqual([0, undefined]);
  });

  test("it ends before the platform ends it, and says so", async () => {
    const { keep, call, platform, warnings, advance } = deployed(definition({ timeout: 3600 }));
    await call((service) => service.submit("work", 1, { id: "a" }));
    await keep();
    await advance(301);
    const silence = new Promise<never>(() => {});
    platform.inspect = (() => silence) as never;
    expect(await keep({}, { seconds: 8 })).toMatchObject({ turns: 1 });
    expect(warnings).toContain("the keeper's time is over before its work; the next one goes on");
  });
});

describe("told by the platform", () => {
  const request = { task: "work", id: "a", attempt: 1, attemptId: "a--a1", payload: 1, deadline: 5 };
  const functionCompute = (condition: string, responsePayload = "") => ({
    timestamp: 1_660_120_276_975,
    requestContext: { requestId: "r", functionArn: "acs:fc:r:1:functions/f", condition, approximateInvokeCount: 1 },
    requestPayload: JSON.stringify(request),
    responseContext: { statusCode: 200, functionError: "UnhandledInvocationError" },
    responsePayload,
  });
  const lambda = (condition: string, errorMessage: string) => ({
    version: "1.0",
    timestamp: "2026-01-01T00:00:00.000Z",
    requestContext: { requestId: "r", functionArn: "arn:aws:lambda:…", condition, approximateInvokeCount: 1 },
    requestPayload: request,
    responseContext: { statusCode: 200, executedVersion: "$LATEST", functionError: "Unhandled" },
    responsePayload: { errorMessage },
  });

  const stepFunctions = (error: string, cause?: string) => ({
    requestPayload: request,
    responsePayload: { Error: error, ...(cause !== undefined && { Cause: cause }) },
  });

  test("an attempt that timed out or crashed is tried again, and a report that comes late is nothing", async () => {
    const { keep, call, platform, status } = deployed();
    await call((service) => service.submit("work", 1, { id: "a" }));
    await keep();
    await keep({ payload: lambda("RetriesExhausted", "2026-01-01 r Task timed out after 900.00 seconds") });
    expect(platform.started.map(({ attemptId }) => attemptId)).toEqual(["a--a1", "a--a2"]);
    await keep({ payload: functionCompute("", '{"errorMessage":"Process exited unexpectedly"}') });
    expect(platform.started).toHaveLength(2);
    expect(await status("a")).toBe("running");
  });

  test("the last attempt's end is the run's, and its destinations are told", async () => {
    const { keep, call, status, told } = deployed(definition({ attempts: 1 }));
    await call((service) => service.submit("work", 1, { id: "a" }));
    await keep();
    await keep({ payload: JSON.stringify(functionCompute("FunctionResourceExhausted")) });
    expect(await status("a")).toBe("failed");
    expect(told).toEqual(["a failed"]);
  });

  test.each([
    [
      functionCompute("", '{"errorType":"FunctionTimeout","errorMessage":"Function timed out after 60 s"}'),
      "timed-out",
    ],
    [functionCompute("", '{"errorMessage":"Process exited unexpectedly before completing request"}'), "failed"],
    [functionCompute("AsyncEventExpired"), "expired"],
    [lambda("EventAgeExceeded", ""), "expired"],
    [
      lambda("RetriesExhausted", "Rate Exceeded: ReservedFunctionConcurrentInvocationLimitExceeded, TooManyRequests"),
      "interrupted",
    ],
    [lambda("RetriesExhausted", "RequestId: r Error: Runtime exited with error: signal: killed"), "failed"],
    [stepFunctions("States.Timeout"), "timed-out"],
    [stepFunctions("Sandbox.Timedout", '{"errorMessage":"Task timed out after 60 s"}'), "timed-out"],
    [stepFunctions("Lambda.TooManyRequestsException", "Rate Exceeded."), "interrupted"],
    [stepFunctions("Millrace.interrupted", "the container was told to end"), "interrupted"],
    [stepFunctions("Millrace.Lost", "nothing was heard of the container for 300 s"), "failed"],
    [stepFunctions("Runtime.ExitError", '{"errorMessage":"signal: killed"}'), "failed"],
  ])("knows what the platform means: %#", (payload, kind) => {
    const { attempt, outcome } = toFinished(payload);
    expect(attempt).toEqual({ task: "work", id: "a", attempt: 1 });
    expect(outcome).toMatchObject({ error: { kind } });
  });

  test.each([undefined, null, "no JSON", {}, { requestPayload: '{"task":"work"}' }, { requestPayload: "work" }])(
    "what names no attempt is refused: %j",
    async (payload) => {
      const { keep } = deployed();
      await expect(keep({ payload })).rejects.toMatchObject({ kind: "bad-input" });
    },
  );
});
