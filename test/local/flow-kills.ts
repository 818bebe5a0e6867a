import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { startDevProcess } from "./dev-process.ts";
import type { Order } from "./programs/flow-work.ts";
import { processesOf, scene } from "./scene.ts";
import { done, ended, FLOW, FLOWS, historyOf } from "./workflows.ts";

export interface FlowKills {
  readonly items: number;
  /** Milliseconds that each of them takes. */
  readonly takes: number;
  readonly kills: number;
  /** Milliseconds of a life, at most. */
  readonly longest: number;
  readonly seed: number;
}

/** Calls that are made again after a kill: of two processes, what is under way, and what ended just before it was written down. */
const AGAIN = 2 * 2;

/** A run over many items whose cloud is killed again and again: no step that has ended is done again. */
export async function runThroughKills({ items, takes, kills, longest, seed }: FlowKills): Promise<void> {
  const stage = scene();
  const random = seededRandom(seed);
  const lives: { readonly over: readonly string[]; readonly calls: number }[] = [];
  const start = async () => {
    const dev = startDevProcess(stage, { program: FLOWS });
    onTestFinished(() => void dev.child.kill("SIGKILL"));
    await dev.ready;
    return dev;
  };
  for (let life = 0; life < kills; life += 1) {
    const dev = await start();
    const given: Order = { items, weak: [3, 30], takes, wrapped: true, approval: "queue" };
    await dev.client.workflows.start(FLOW, given, { id: "killed" });
    await pause(100 + Math.round(random() * (longest - 100)));
    const { steps } = await historyOf(dev.client.workflows, "killed");
    await dev.end("SIGKILL");
    const over = steps.filter(({ status }) => status === "succeeded").map(({ path }) => `killed/${path}`);
    lives.push({ over, calls: done(stage).length });
  }
  const dev = await start();
  const waits = async () => (await historyOf(dev.client.workflows, "killed")).steps.at(-1)?.callback;
  const timeout = 20_000 + 20 * items;
  await expect.poll(waits, { timeout, interval: 200 }).toBe(`${FLOW}/killed/approval/approve`);
  await dev.client.workflows.answer(`${FLOW}/killed/approval/approve`, { output: "yes" });
  const { output, steps } = await ended(dev.client.workflows, "killed");
  expect(output).toEqual({ bill: { total: items }, approval: "yes" });
  expect(steps.filter(({ path }) => path.startsWith("each[")).map(({ status }) => status)).toEqual(
    Array.from({ length: items }, () => "succeeded"),
  );
  expect(await dev.client.queues.stats("questions-messages")).toMatchObject({ ready: 1 });

  expect(lives.at(-1)!.over.length).toBeGreaterThan(lives[0]!.over.length);
  for (const { over, calls } of lives) {
    const later = new Set(done(stage).slice(calls));
    expect(over.filter((step) => later.has(step))).toEqual([]);
  }
  const again = done(stage).length - new Set(done(stage)).size;
  expect(again).toBeLessThanOrEqual(AGAIN * kills);
  await dev.end("SIGINT");
  expect(processesOf(stage.folder)).toEqual([]);
}
