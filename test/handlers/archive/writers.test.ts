import { execFileSync, spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { seededRandom } from "../../../lib/clouds/local/host/faults.ts";
import type { StreamRecord } from "../../../lib/runtime/events.ts";
import { killAndPause } from "./kill-and-pause.ts";
import { everything, records, world } from "./world.ts";
import { Writer } from "./writers.ts";

test("8 writers, 200 applications with most lines in a few, kills and pauses: once each, in order", async () => {
  await killAndPause({ each: 240, kills: 4, pauses: 3, seed: 3 });
}, 60_000);

/** A disk of its own for one process. https://man7.org/linux/man-pages/man1/unshare.1.html */
const onSmallDisk = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"];
const mounting = 'mount -t tmpfs -o size=1m none "$0"; exec "$@"';
const hasSmallDisks = spawnSync(onSmallDisk[0]!, [...onSmallDisk.slice(1), mounting, "/mnt", "true"]).status === 0;

test("a full volume loses nothing: what was half written is cut off, and goes on when there is room", async ({
  skip,
}) => {
  skip(!hasSmallDisks, "this system lets no process mount a disk of its own");
  const made = world({ files: 2 });
  const volume = join(made.folder, "small");
  mkdirSync(volume);
  const writer = new Writer(made, { volume, by: [...onSmallDisk, mounting, volume] });
  onTestFinished(() => writer.end());
  const random = seededRandom(1);
  const noise = (partition: number, from: number, to: number): StreamRecord[] =>
    records("orders", partition, from, to).map((one) => ({
      ...one,
      value: Buffer.from(
        JSON.stringify({
          ...JSON.parse(Buffer.from(one.value!).toString()),
          text: Array.from({ length: 200 }, () => random()).join(),
        }),
      ),
    }));
  await writer.write(noise(0, 0, 20));
  // The disk as that process sees it. https://man7.org/linux/man-pages/man5/proc_pid_root.5.html
  const inside = `/proc/${writer.child.pid}/root${volume}`;
  const filler = join(inside, "filler");
  try {
    for (;;) appendFileSync(filler, Buffer.alloc(4096));
  } catch {
    truncateSync(filler, statSync(filler).size - 8192);
  }
  const late = writer.write(noise(0, 20, 60));
  const state = await Promise.race([
    late.then(
      () => "done",
      () => "failed",
    ),
    pause(1500, "waits"),
  ]);
  expect(state).toBe("waits");
  const [row] = (await made.table.query<{ sealed: readonly { name: string; length: number }[] }>("app/orders")).rows;
  const [file] = row!.value.sealed;
  expect(statSync(join(inside, "orders", file!.name)).size).toBe(file!.length);
  rmSync(filler);
  await late;
  await writer.write(noise(0, 60, 70));
  // The volume goes with its process, so its files are uploaded from a copy.
  for (const name of readdirSync(join(inside, "orders"))) {
    mkdirSync(join(made.volume, "orders"), { recursive: true });
    execFileSync("cp", [join(inside, "orders", name), join(made.volume, "orders", name)]);
  }
  made.clock.time = Date.now() + 3_600_000;
  const found = await everything(made);
  expect(found.orders).toEqual(Array.from({ length: 70 }, (_, offset) => `0/${offset}`));
}, 60_000);
