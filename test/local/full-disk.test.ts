import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { connectLocal } from "../../lib/clouds/local/client.ts";
import { sample } from "../media.ts";
import { startDevProcess } from "./dev-process.ts";
import { envelopes, keys, putFile, REQUESTS, runsOf, scene, UPLOADS } from "./scene.ts";

/** A disk of its own for one process. https://man7.org/linux/man-pages/man1/unshare.1.html */
const onSmallDisk = [
  ...["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"],
  'mount -t tmpfs -o size=24m none "$0"; exec "$@"',
];
const hasSmallDisks = spawnSync(onSmallDisk[0]!, [...onSmallDisk.slice(1), "/mnt", "true"]).status === 0;

test("a full disk is said in words, nothing is half there, and all goes on when there is room", async ({ skip }) => {
  skip(!hasSmallDisks, "this system lets no process mount a disk of its own");
  const stage = scene();
  mkdirSync(stage.folder);
  const dev = startDevProcess(stage, { by: [...onSmallDisk, stage.folder] });
  onTestFinished(() => void dev.child.kill("SIGKILL"));
  await dev.ready;
  // The disk as that process sees it. https://man7.org/linux/man-pages/man5/proc_pid_root.5.html
  const disk = `/proc/${dev.child.pid}/root${stage.folder}`;
  const cloud = connectLocal({ folder: disk });
  const filler = join(disk, "filler");
  /** Fills the disk but for so many bytes, whatever else is written meanwhile. */
  const leave = (bytes: number) => {
    rmSync(filler, { force: true });
    const piece = Buffer.alloc(65_536);
    try {
      for (;;) appendFileSync(filler, piece);
    } catch {
      truncateSync(filler, Math.max(0, statSync(filler).size - bytes));
    }
  };

  await putFile(cloud, "before.mp4", sample("silent.mp4"));
  await cloud.tasks.wait("videos", (await found("before.mp4"))!.id);

  leave(100_000);
  const put = putFile(cloud, "large.mp4", sample("large.mp4"));
  await expect(put).rejects.toThrow(`the disk of ${stage.folder} is full; make room, then try again`);
  expect(await keys(cloud, UPLOADS)).toEqual(["before.mp4"]);
  expect(readdirSync(join(disk, "staging"))).toEqual([]);
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
  rmSync(filler);
  expect(await cloud.tasks.wait("videos", (await found("tight.mp4"))!.id)).toMatchObject({ status: "succeeded" });
  await putFile(cloud, "large.mp4", sample("silent.mp4"));
  await expect.poll(async () => (await found("large.mp4"))?.status, { timeout: 20_000 }).toBe("succeeded");
  expect(await envelopes(cloud)).toEqual([]);
  expect(await dev.end("SIGINT")).toMatchObject({ code: 0 });

  async function found(key: string) {
    await expect.poll(async () => (await runsOf(cloud, key)).length, { timeout: 20_000 }).toBe(1);
    return (await runsOf(cloud, key))[0];
  }
});
