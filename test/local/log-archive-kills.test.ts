import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { startLocal } from "../../lib/testing/index.ts";
import { startDevProcess } from "./dev-process.ts";
import { expectAll, LINES, lagOf, lines, program, project, uploaded } from "./log-archive.ts";
import { processesOf, scene } from "./scene.ts";

test("after kill -9 of everything, again and again, every line is archived once", { timeout: 150_000 }, async () => {
  const stage = scene();
  const random = seededRandom(5);
  const total = 450;
  let produced = 0;
  for (let life = 0; life < 2; life += 1) {
    const dev = startDevProcess(stage, { program });
    onTestFinished(() => void dev.child.kill("SIGKILL"));
    await dev.ready;
    for (const until = produced + total / 3; produced < until; produced += 30) {
      await dev.client.streams.produce(LINES, lines(produced, produced + 30));
    }
    await pause(300 + Math.round(random() * 1500));
    await dev.end("SIGKILL");
  }
  await expect.poll(() => processesOf(stage.folder), { timeout: 10_000 }).toEqual([]);
  await using cloud = await startLocal({ program, project, folder: stage.folder });
  await cloud.streams.produce(LINES, lines(produced, total));
  // The leases of who was killed are waited for.
  await expect.poll(() => lagOf(cloud), { timeout: 60_000, interval: 200 }).toBe(0);
  await expect.poll(() => uploaded(cloud), { timeout: 60_000, interval: 500 }).toBe(total);
  await expectAll(cloud);
});
