import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { startDevProcess } from "./dev-process.ts";
import type { Order } from "./programs/flow-work.ts";
import { processesOf, scene } from "./scene.ts";
import { done, ended, FLOW, FLOWS, historyOf } from "./workflows.ts";

test("killed at random moments, the run goes on, and no step that has ended is done again", async () => {
  const stage = scene();
  const random = seededRandom(11);
  const items = 60;
  const lives: { readonly over: readonly string[]; readonly calls: number }[] = [];
  for (let life = 0; life < 4; life += 1) {
    const dev = startDevProcess(stage, { program: FLOWS });
    onTestFinished(() => void dev.child.kill("SIGKILL"));
    await dev.ready;
    const given: Order = { items, weak: [3, 30], takes: 40, wrapped: true, approval: "queue" };
    await dev.client.workflows.start(FLOW, given, { id: "killed" });
    await pause(100 + Math.round(random() * 900));
    const { steps } = await historyOf(dev.client.workflows, "killed");
    await dev.end("SIGKILL");
    const over = steps.filter(({ status }) => status === "succeeded").map(({ path }) => `killed/${path}`);
    lives.push({ over, calls: done(stage).length });
  }
  const dev = startDevProcess(stage, { program: FLOWS });
  onTestFinished(() => void dev.child.kill("SIGKILL"));
  await dev.ready;
  await expect
    .poll(async () => (await historyOf(dev.client.workflows, "killed")).steps.at(-1)?.callback, { timeout: 20_000 })
    .toBe(`${FLOW}/killed/approval/approve`);
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
  // Calls under way at a kill are made again, and nothing else: two at once, four times.
  const again = done(stage).length - new Set(done(stage)).size;
  expect(again).toBeLessThanOrEqual(8);
  await dev.end("SIGINT");
  expect(processesOf(stage.folder)).toEqual([]);
}, 60_000);
