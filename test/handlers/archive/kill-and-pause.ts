import { execFileSync } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { seededRandom } from "../../../lib/clouds/local/host/faults.ts";
import { archived, atOf, everything, record, world } from "./world.ts";
import { Writer } from "./writers.ts";

const PARTITIONS = 12;

export interface KillAndPause {
  /** Records of each partition. */
  readonly each: number;
  readonly kills: number;
  readonly pauses: number;
  readonly seed: number;
}

/**
 * 8 writers in processes of their own archive the lines of 200 applications, of which a few have most; some are killed,
 * and some are stopped until others have long gone on with what they had. Then all is looked at.
 */
export async function killAndPause({ each, seed, ...left }: KillAndPause): Promise<void> {
  const made = world({ files: 10 });
  const random = seededRandom(seed);
  // Of each partition, all its records, in order.
  const logs = Array.from({ length: PARTITIONS }, (_, partition) =>
    Array.from({ length: each }, (_, offset) => record(`app-${Math.floor(200 * random() ** 4)}`, partition, offset)),
  );
  const places = logs.map(() => 0);
  const taken = new Set<number>();
  let { kills, pauses } = left;
  /** A partition is one writer's at a time, as far as the platform knows: one that pauses is not waited for. */
  const work = async () => {
    let writer = new Writer(made);
    onTestFinished(() => writer.end());
    for (;;) {
      const partition = places.findIndex((place, index) => place < each && !taken.has(index));
      if (partition === -1) break;
      taken.add(partition);
      const from = places[partition]!;
      const batch = logs[partition]!.slice(from, from + 20 + Math.floor(random() * 60));
      const written = writer.write(batch);
      if (random() < 0.2 && kills > 0) {
        kills -= 1;
        await pause(random() * 30);
        await Promise.all([writer.end(), written.catch(() => {})]);
        writer = new Writer(made);
      } else if (random() < 0.2 && pauses > 0) {
        pauses -= 1;
        await pause(random() * 20);
        const asleep = writer;
        asleep.child.kill("SIGSTOP");
        written.catch(() => {});
        // It wakes when others have long gone on with what it had.
        setTimeout(() => asleep.child.kill("SIGCONT"), 2500).unref();
        onTestFinished(() => asleep.end());
        writer = new Writer(made);
      } else {
        await written;
        places[partition] = from + batch.length;
      }
      taken.delete(partition);
    }
    await pause(3000 * Number(pauses < left.pauses));
  };
  await Promise.all(Array.from({ length: 8 }, work));

  // Writers go by the machine's time.
  made.clock.time = Date.now() + 3_600_000;
  await everything(made);
  const found = await archived(made.bucket);
  const lines = Object.values(found).flat();
  expect(lines).toHaveLength(PARTITIONS * each);
  expect(new Set(lines.map(({ value }) => atOf(value))).size).toBe(PARTITIONS * each);
  for (const list of Object.values(found)) {
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const offsets = list.filter((line) => line.partition === partition).map(({ offset }) => offset);
      expect(offsets).toEqual([...offsets].sort((one, other) => one - other));
    }
  }
  const files: Uint8Array[] = [];
  for (let after: string | undefined; ; ) {
    const { objects, next } = await made.bucket.list(after === undefined ? {} : { after });
    for (const { key } of objects) files.push(await made.bucket.get(key));
    if (next === undefined) break;
    after = next;
  }
  // One after the other they are one file again: gunzip goes through every byte of each.
  execFileSync("gunzip", ["-t"], { input: Buffer.concat(files) });
}
