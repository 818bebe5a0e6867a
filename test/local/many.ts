import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { isFinal } from "../../lib/runtime/tasks/task.ts";
import { startDevProcess } from "./dev-process.ts";
import { DONE, leftFiles, processesOf, runs, scene } from "./scene.ts";

const program = fileURLToPath(new URL("./programs/counting.ts", import.meta.url));

/** Submits many small runs while the cloud is killed again and again; each ends once, and is told once. */
export async function countThroughKills({ kills, seed, count }: { kills: number; seed: number; count: number }) {
  const stage = scene();
  const random = seededRandom(seed);
  const pending = Array.from({ length: count }, (_, index) => index + 1);
  const start = () => {
    const dev = startDevProcess(stage, { program });
    onTestFinished(() => void dev.child.kill("SIGKILL"));
    return dev;
  };
  const submitAll = async ({ ready, client }: ReturnType<typeof start>) => {
    await ready;
    for (let number = pending[0]; number !== undefined; number = pending[0]) {
      await client.tasks.submit("count", { number }, { id: `n${number}` });
      pending.shift();
    }
  };
  for (let life = 0; life < kills; life += 1) {
    const dev = start();
    // What was cut off is submitted again in the next life: the id is known by then, or not.
    const submitting = submitAll(dev).catch(() => {});
    await pause(Math.round(random() * 2500));
    await dev.end("SIGKILL");
    await submitting;
  }
  const dev = start();
  await submitAll(dev);
  const over = async () => (await runs(dev.client, "count")).filter(({ status }) => isFinal(status)).length;
  await expect.poll(over, { timeout: 600_000, interval: 500 }).toBe(count);

  const ended = await runs(dev.client, "count");
  expect(new Set(ended.map(({ id }) => id)).size).toBe(count);
  for (const { id, status } of ended) expect({ id, status }).toEqual({ id, status: statusOf(id) });
  const idsOf = (status: string) => ended.filter((run) => run.status === status).map(({ id }) => id);
  await expect.poll(() => new Set(stage.notes().map(({ run }) => run)).size, { timeout: 60_000 }).toBe(count);
  expect(await told(dev.client, DONE)).toEqual(idsOf("succeeded").sort());
  expect(await told(dev.client, "count-failures")).toEqual(idsOf("failed").sort());
  const events = new Map<string, string>();
  for (const { event, run, status } of stage.notes()) {
    expect(status).toBe(statusOf(run));
    expect(events.get(run) ?? event).toBe(event);
    events.set(run, event);
  }
  expect(await dev.end("SIGINT")).toMatchObject({ code: 0 });
  expect(leftFiles(stage.folder)).toEqual([]);
  expect(processesOf(stage.folder)).toEqual([]);
}

const statusOf = (id: string) => (Number(id.slice(1)) % 7 === 0 ? "failed" : "succeeded");

/** The runs that the messages of a queue are about; no more than can be seen at once. */
async function told(
  { queues }: ReturnType<typeof startDevProcess>["client"],
  queue: string,
): Promise<readonly string[]> {
  const messages = await queues.peek(queue, 1000);
  expect(messages).toHaveLength((await queues.stats(queue)).ready);
  return messages.map(({ body }) => (JSON.parse(body) as { task: { id: string } }).task.id).sort();
}
