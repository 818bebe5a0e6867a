import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { isFinal } from "../../lib/runtime/tasks/task.ts";
import { envelopes, FAILURES, keys, putFile, REQUESTS, resultOf, runs, scene } from "../local/scene.ts";
import { hasSmallDisks, startOnSmallDisk } from "../local/small-disk.ts";
import { sample } from "../media.ts";

test.each([1, 2, 3])("a disk that fills up again and again while videos are made, seed %i", async (seed) => {
  expect(hasSmallDisks, "this system lets no process mount a disk of its own").toBe(true);
  const random = seededRandom(seed);
  const { dev, cloud, leave, makeRoom } = await startOnSmallDisk(scene());
  const said = dev.ended.then(({ said }) => Promise.reject(new Error(said)));
  said.catch(() => {});
  for (let round = 0; round < 12; round += 1) {
    leave(Math.round(random() * 1_000_000));
    await putFile(cloud, `video ${round}.mp4`, sample("plain.mp4")).catch(() => {});
    await pause(random() * 1000);
    leave(0);
    await cloud.queues.send(REQUESTS, `{ "object": "none ${round}.mp4" }`).catch(() => {});
    await pause(random() * 2000);
    makeRoom();
    await Promise.race([pause(random() * 1000), said]);
  }
  const over = async () => (await runs(cloud)).every(({ status }) => isFinal(status));
  await expect.poll(over, { timeout: 120_000, interval: 500 }).toBe(true);
  const failed = (await runs(cloud)).filter(({ status }) => status === "failed").map(({ id }) => id);
  await expect.poll(async () => (await envelopes(cloud, FAILURES)).length, { timeout: 20_000 }).toBe(failed.length);
  expect((await envelopes(cloud, FAILURES)).map(({ task }) => task.id).sort()).toEqual(failed.sort());
  const made: string[] = [];
  for (const run of await runs(cloud)) {
    if (run.status !== "succeeded") continue;
    const { source, outputs } = await resultOf(cloud, run);
    const present = (await keys(cloud)).filter((key) => key.startsWith(`${source.object}/`));
    expect(present).toHaveLength(outputs.reduce((sum, { files }) => sum + files, 0));
    made.push(...present);
  }
  expect(made).not.toEqual([]);
  expect(await dev.end("SIGINT")).toMatchObject({ code: 0 });
});
