import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { LocalCloud } from "../../lib/testing/index.ts";
import type { Errand } from "./programs/flow-clerk.ts";
import type { Order } from "./programs/flow-work.ts";
import { scene } from "./scene.ts";
import { done, ended, FLOW, FLOWS, historyOf } from "./workflows.ts";

type Stage = ReturnType<typeof scene>;

const startFlows = (stage: Stage, options: Parameters<Stage["start"]>[0] = {}): Promise<LocalCloud> =>
  stage.start({ program: FLOWS, ...options });

const order = (given: Order): Order => given;

describe("a run", () => {
  test("calls functions, a task, each item with its retries, and comes to its output", async () => {
    const stage = scene();
    const cloud = await startFlows(stage);
    const started = await cloud.workflows.start("orders", order({ items: 5, weak: [1, 3], wrapped: true }), {
      id: "one",
    });
    expect(started).toMatchObject({ workflow: FLOW, id: "one", status: "running" });
    const { run, output, steps } = await ended(cloud.workflows, "one");
    expect(run).toMatchObject({ status: "succeeded" });
    expect(output).toEqual({ bill: { total: 5 }, approval: {} });
    expect(steps.map(({ path }) => path)).toEqual(
      expect.arrayContaining(["list", "pause", "each", "each[4]/pack", "wrapping/wrap", "approval", "bill"]),
    );
    expect(steps.find(({ path }) => path === "each[1]/pack")).toMatchObject({ attempts: 2, status: "succeeded" });
    expect(steps.find(({ path }) => path === "each")).toMatchObject({ items: { total: 5, succeeded: 5, failed: 0 } });
    expect(await cloud.tasks.get("wrap", "one")).toMatchObject({ status: "succeeded" });
    expect([...done(stage)].sort()).toEqual(
      ["one/bill", "one/list", ...[0, 1, 2, 3, 4].map((item) => `one/each[${item}]/pack`)].sort(),
    );
    expect(await cloud.workflows.start(FLOW, order({ items: 1 }), { id: "one" })).toMatchObject({
      status: "succeeded",
      deduplicated: true,
    });
  }, 30_000);

  test("waits on a virtual clock, through a restart, to the second; its workflow's time is over when it is", async () => {
    const stage = scene();
    const first = await startFlows(stage, { clock: "virtual" });
    await first.workflows.start(FLOW, order({ items: 2, pause: 600 }), { id: "patient" });
    await first.idle();
    await first.advance("5 minutes");
    expect(await historyOf(first.workflows, "patient")).toMatchObject({ run: { status: "running" } });
    await first.close();

    // The second cloud's time begins anew, five minutes before the first one's end.
    const second = await startFlows(stage, { clock: "virtual" });
    await second.advance("9 minutes");
    expect(await historyOf(second.workflows, "patient")).toMatchObject({ run: { status: "running" } });
    await second.advance("1 minute");
    const { run, steps } = await historyOf(second.workflows, "patient");
    expect(run.status).toBe("succeeded");
    const rest = steps.find(({ step }) => step === "rest")!;
    expect(Date.parse(rest.ended!) - Date.parse(rest.started)).toBe(600_000);
    expect(done(stage).filter((step) => step === "patient/list")).toHaveLength(1);

    await second.workflows.start(FLOW, order({ items: 0, pause: 7200 }), { id: "late" });
    await second.advance("1 hour");
    expect(await historyOf(second.workflows, "late")).toMatchObject({
      run: { status: "failed", error: { kind: "timed-out" } },
    });
  }, 30_000);

  test("ends what hangs at its time, and tries it again; what hangs whenever it is tried fails the run", async () => {
    const cloud = await startFlows(scene());
    await cloud.workflows.start(FLOW, order({ items: 1, stuck: 1 }), { id: "once" });
    await cloud.workflows.start(FLOW, order({ items: 1, stuck: 9 }), { id: "always" });
    const once = await ended(cloud.workflows, "once");
    expect(once.run).toMatchObject({ status: "succeeded" });
    expect(once.steps.find(({ step }) => step === "hang")).toMatchObject({ status: "succeeded", attempts: 2 });
    const always = await ended(cloud.workflows, "always");
    expect(always.run).toMatchObject({ status: "failed", error: { kind: "timed-out" } });
    expect(always.steps.find(({ step }) => step === "hang")).toMatchObject({ status: "failed", attempts: 2 });
    // Its process is not the next call's.
    expect((await cloud.workflows.retry(FLOW, "always")).status).toBe("running");
    await cloud.workflows.stop(FLOW, "always");
    await cloud.workflows.start(FLOW, order({ items: 2 }), { id: "after" });
    expect((await ended(cloud.workflows, "after")).run.status).toBe("succeeded");
  }, 40_000);

  test("is stopped with the function it calls, and retried from there", async () => {
    const stage = scene();
    const cloud = await startFlows(stage);
    await cloud.workflows.start(FLOW, order({ items: 2, takes: 20_000 }), { id: "slow" });
    await expect.poll(async () => (await historyOf(cloud.workflows, "slow")).steps.length).toBe(5);
    await pause(200);
    expect(await cloud.workflows.stop(FLOW, "slow")).toMatchObject({ status: "stopping" });
    const stopped = await ended(cloud.workflows, "slow");
    expect(stopped.run).toMatchObject({ status: "stopped" });
    expect(stopped.steps.filter(({ step }) => step === "pack").map(({ status }) => status)).toEqual([
      "stopped",
      "stopped",
    ]);
    await expect(cloud.workflows.stop(FLOW, "slow")).resolves.toMatchObject({ status: "stopped" });

    expect(await cloud.workflows.retry(FLOW, "slow")).toMatchObject({ status: "running" });
    await expect(cloud.workflows.retry(FLOW, "slow")).rejects.toMatchObject({ kind: "conflict" });
    await cloud.workflows.stop(FLOW, "slow");
    await ended(cloud.workflows, "slow");
    expect(done(stage)).toEqual(["slow/list"]);
  }, 30_000);

  test("asks a queue, or a function, and goes on with the answer; one that comes early counts", async () => {
    const stage = scene();
    const cloud = await startFlows(stage);
    await cloud.workflows.start(FLOW, order({ items: 1, approval: "queue" }), { id: "asks" });
    await expect
      .poll(async () => (await cloud.queues.peek("questions-messages", 10)).length, { timeout: 10_000 })
      .toBe(1);
    const [message] = await cloud.queues.peek("questions-messages", 10);
    const { callback, input } = JSON.parse(message!.body) as { callback: string; input: unknown };
    expect(input).toEqual({ order: "asks" });
    await cloud.workflows.answer(callback, { output: { ok: "first" } });
    await cloud.workflows.answer(callback, { output: { ok: "second" } });
    expect((await ended(cloud.workflows, "asks")).output).toMatchObject({ approval: { ok: "first" } });
    await cloud.workflows.answer(callback, { output: { ok: "late" } });

    await cloud.workflows.start(FLOW, order({ items: 1, approval: "function", takes: 300 }), { id: "early" });
    await cloud.workflows.answer(`${FLOW}/early/approval/ask-desk`, { output: { ok: "early" } });
    expect((await ended(cloud.workflows, "early")).output).toMatchObject({ approval: { ok: "early" } });
    await expect.poll(() => stage.notes().map(({ run }) => run)).toContain(`${FLOW}/early/approval/ask-desk`);
    await expect(cloud.workflows.answer(`${FLOW}/early/bill`, { output: 1 })).rejects.toMatchObject({
      kind: "not-found",
    });
  }, 30_000);

  test("is started, watched, stopped, retried and answered by a function that is linked to the workflow", async () => {
    const cloud = await startFlows(scene());
    const errand = async (verb: Errand["verb"], ...args: readonly unknown[]): Promise<unknown> => {
      const { id } = await cloud.workflows.start("office", { verb, args } satisfies Errand);
      await expect
        .poll(async () => (await cloud.workflows.get("office", id))!.run.status, { interval: 20 })
        .toBe("succeeded");
      return ((await cloud.workflows.get("office", id))!.output as { readonly answer: unknown }).answer;
    };
    expect(await errand("start", "far", order({ items: 0, approval: "queue" }))).toMatchObject({ id: "far" });
    await expect.poll(async () => (await historyOf(cloud.workflows, "far")).steps.at(-1)?.status).toBe("waiting");
    expect(await errand("stop", "far")).toMatchObject({ status: "stopping" });
    await ended(cloud.workflows, "far");
    expect(await errand("retry", "far")).toMatchObject({ status: "running" });
    await errand("answer", `${FLOW}/far/approval/approve`, { output: { ok: true } });
    await ended(cloud.workflows, "far");
    expect(await errand("get", "far")).toMatchObject({
      run: { status: "succeeded" },
      output: { approval: { ok: true } },
    });
    expect(await errand("list", { status: "succeeded" })).toMatchObject({ runs: [{ id: "far" }] });
    expect(cloud.usedVerbs("office-clerk").map(({ action }) => action)).toEqual([
      "workflow.answer",
      "workflow.control",
      "workflow.read",
      "workflow.start",
    ]);
  }, 30_000);
});
