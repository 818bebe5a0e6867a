import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { isFinal, type Task } from "../../lib/runtime/tasks/task.ts";
import { look, type SampleName, sample } from "../media.ts";
import { startDevProcess } from "./dev-process.ts";
import {
  DONE,
  download,
  envelopes,
  FAILURES,
  keys,
  leftFiles,
  processesOf,
  put,
  resultOf,
  runs,
  runsOf,
  scene,
} from "./scene.ts";

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  /** Videos, uploaded one after another over all lives. */
  readonly videos: readonly SampleName[];
  /** The longest life from the command on, in milliseconds. */
  readonly longest: number;
}

/** Kills `millrace dev` again and again while it works, then lets it finish, and looks whether all is as promised. */
export async function killAndFinish({ kills, seed, videos, longest }: KillOptions): Promise<void> {
  const stage = scene();
  const { folder, notes } = stage;
  const random = seededRandom(seed);
  const good = videos.map((name, index) => ({ key: `video ${index}.${name}`, content: () => readFile(sample(name)) }));
  const bad = [0, 1].map((index) => ({
    key: `no video ${index}.mp4`,
    content: async () => Buffer.from(`text ${index}`),
  }));
  const uploads = good.flatMap((upload, index) => (bad[index] ? [upload, bad[index]] : [upload]));

  const waiting = [...uploads];
  for (let life = 0; life < kills; life += 1) {
    const dev = startDevProcess(stage);
    onTestFinished(() => void dev.child.kill("SIGKILL"));
    const uploading = dev.ready.then(async () => {
      while (waiting.length > 0) {
        await put(dev.client, waiting[0]!.key, await waiting[0]!.content());
        waiting.shift();
      }
    });
    // One that was killed meanwhile is put again in the next life, as its owner would.
    uploading.catch(() => {});
    await pause(Math.round(random() * longest));
    await dev.end("SIGKILL");
    await uploading.catch(() => {});
  }
  await expect.poll(() => processesOf(folder), { timeout: 30_000 }).toEqual([]);

  const dev = startDevProcess(stage);
  onTestFinished(() => void dev.child.kill("SIGKILL"));
  await dev.ready;
  for (const { key, content } of waiting) await put(dev.client, key, await content());
  const progress = async () => {
    const found = await runs(dev.client);
    const open = found.filter(({ status }) => !isFinal(status)).map(({ id, status, due }) => ({ id, status, due }));
    return { count: found.length, open };
  };
  // A run that was interrupted often waits for minutes before it is begun again.
  const all = { count: uploads.length, open: [] };
  await expect.poll(progress, { timeout: 360_000, interval: 200 }).toEqual(all);
  const ended = await runs(dev.client);
  for (const { key } of bad) expect((await runsOf(dev.client, key)).map(({ status }) => status)).toEqual(["failed"]);
  const made: string[] = [];
  for (const [index, { key }] of good.entries()) {
    const found = await runsOf(dev.client, key);
    expect(
      found.map(({ status }) => status),
      key,
    ).toEqual(["succeeded"]);
    made.push(...(await checkOutputs(dev.client, found[0]!, videos[index]!)));
  }
  expect([...(await keys(dev.client))].sort()).toEqual(made.sort());
  await expect.poll(() => new Set(notes().map(({ run }) => run)).size, { timeout: 60_000 }).toBe(ended.length);
  await checkTold(await envelopes(dev.client, DONE), ended, "succeeded");
  await checkTold(await envelopes(dev.client, FAILURES), ended, "failed");
  for (const { id, status } of ended) {
    const told = notes().filter(({ run }) => run === id);
    expect(new Set(told.map((note) => `${note.event} ${note.status}`)).size).toBe(1);
    expect(told[0]).toMatchObject({ status });
  }
  expect(await dev.end("SIGINT")).toMatchObject({ code: 0 });
  expect(leftFiles(folder)).toEqual([]);
  expect(processesOf(folder)).toEqual([]);
}

/** Every output there, whole, and as long as its source; answers the keys of all its files. */
async function checkOutputs(
  client: Parameters<typeof keys>[0],
  run: Task,
  name: SampleName,
): Promise<readonly string[]> {
  const { source, outputs } = await resultOf(client, run);
  const present = (await keys(client)).filter((key) => key.startsWith(`${source.object}/`));
  expect(present).toHaveLength(outputs.reduce((sum, { files }) => sum + files, 0));
  const { duration } = look(sample(name));
  const counts = new Map<string, number | undefined>();
  for (const output of outputs) {
    if (output.format === "jpeg") continue;
    const made = look(await download(client, output.key));
    expect(Math.abs(made.duration - duration), output.key).toBeLessThan(0.5);
    counts.set(output.key, made.video?.frames);
  }
  expect(new Set(counts.values()).size, JSON.stringify([...counts])).toBe(1);
  return present;
}

/** Exactly one message for each run that ended so. */
async function checkTold(
  told: Awaited<ReturnType<typeof envelopes>>,
  ended: readonly Task[],
  status: Task["status"],
): Promise<void> {
  const wanted = ended.filter((run) => run.status === status).map(({ id }) => `${id} ${status}`);
  expect(told.map(({ task }) => `${task.id} ${task.status}`).sort()).toEqual(wanted.sort());
}
