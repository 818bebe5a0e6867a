import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { startDev } from "../../lib/clouds/local/dev.ts";
import { PROJECT, runs, scene } from "./scene.ts";

const program = fileURLToPath(new URL("./programs/reading.ts", import.meta.url));

test("idle waits for runs whose folders take a while to clear away", async () => {
  const cloud = await scene().start({ program });
  for (let paper = 0; paper < 100; paper += 1)
    await cloud.buckets.bucket("archive-papers").put(`paper ${paper}`, `${paper}`);
  const ids = Array.from({ length: 30 }, (_, number) => `${number}`);
  await Promise.all(ids.map((id) => cloud.tasks.submit("reading", null, { id })));
  await cloud.idle();
  const ended = await runs(cloud, "reading");
  // Whatever an attempt failed of is named here: nothing else of this test could say why a run is not there yet.
  expect(ended.flatMap(({ attempts }) => attempts.flatMap(({ error }) => error ?? []))).toEqual([]);
  expect(ended.map(({ status }) => status)).toEqual(ids.map(() => "succeeded"));
});

test("idle waits for every one of many runs that each take no time", async () => {
  const { folder } = scene();
  const instant = fileURLToPath(new URL("./programs/instant.ts", import.meta.url));
  const { host, close } = await startDev({ program: instant, project: PROJECT, folder, watch: false, onEvent() {} });
  onTestFinished(close);
  const ids = Array.from({ length: 1000 }, (_, number) => `${number}`);
  await Promise.all(ids.map((id) => host.tasks.submit("instant", null, { id })));
  await host.idle();
  expect((await host.tasks.list("instant", { status: ["queued", "running"] })).tasks).toEqual([]);
});
