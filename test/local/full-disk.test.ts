import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sample } from "../media.ts";
import { envelopes, keys, putFile, REQUESTS, runsOf, scene, UPLOADS } from "./scene.ts";
import { hasSmallDisks, startOnSmallDisk } from "./small-disk.ts";

test("a full disk is said in words, nothing is half there, and all goes on when there is room", async ({ skip }) => {
  skip(!hasSmallDisks, "this system lets no process mount a disk of its own");
  const stage = scene();
  const { dev, cloud, folder, leave, makeRoom } = await startOnSmallDisk(stage);

  await putFile(cloud, "before.mp4", sample("silent.mp4"));
  await cloud.tasks.wait("videos", (await found("before.mp4"))!.id);

  leave(100_000);
  const put = putFile(cloud, "large.mp4", sample("large.mp4"));
  await expect(put).rejects.toThrow(`the disk of ${stage.folder} is full; make room, then try again`);
  expect(await keys(cloud, UPLOADS)).toEqual(["before.mp4"]);
  expect(readdirSync(join(folder, "staging"))).toEqual([]);
  expect(Buffer.from(await cloud.buckets.bucket(UPLOADS).get("before.mp4"))).toEqual(
    readFileSync(sample("silent.mp4")),
  );

  leave(0);
  await expect(cloud.queues.send(REQUESTS, '{"object":"before.mp4"}')).rejects.toThrow(/disk.*full/);

  leave(600_000);
  await putFile(cloud, "tight.mp4", sample("plain.mp4"));
  await expect
    .poll(async () => (await found("tight.mp4"))?.attempts[0]?.error?.message, { timeout: 20_000 })
    .toBeDefined();
  expect((await found("tight.mp4"))?.attempts[0]?.error).toMatchObject({
    kind: "unavailable",
    message: expect.stringMatching(/no space left|is full/),
  });
  makeRoom();
  expect(await cloud.tasks.wait("videos", (await found("tight.mp4"))!.id)).toMatchObject({ status: "succeeded" });
  await putFile(cloud, "large.mp4", sample("silent.mp4"));
  await expect.poll(async () => (await found("large.mp4"))?.status, { timeout: 20_000 }).toBe("succeeded");
  expect(await envelopes(cloud)).toEqual([]);
  expect(await dev.end("SIGINT")).toMatchObject({ code: 0 });

  async function found(key: string) {
    await expect.poll(async () => (await runsOf(cloud, key)).length, { timeout: 20_000 }).toBe(1);
    return (await runsOf(cloud, key))[0];
  }
}, 60_000);
