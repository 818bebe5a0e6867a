import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { atOf, record, type World, world } from "../handlers/archive/world.ts";
import { Writer } from "../handlers/archive/writers.ts";

const PARTITIONS = 12;
const EACH = 10_000;
const APPLICATIONS = 200;
const WRITERS = 8;
const KILLS = 20;
const PAUSES = 8;
/** Milliseconds a slot is held, and those that a writer is asleep. */
const [LEASE, ASLEEP] = [1000, 4000];

test("8 writers, 200 applications, kills and pauses while files are uploaded: every line once, in order", async () => {
  const made = world({ files: 10 });
  const random = seededRandom(7);
  const logs = Array.from({ length: PARTITIONS }, (_, partition) =>
    Array.from({ length: EACH }, (_, offset) =>
      record(`app-${Math.floor(APPLICATIONS * random() ** 4)}`, partition, offset, "a line of a log ".repeat(5)),
    ),
  );
  const begun = performance.now();
  const working = new AbortController();
  const uploading = uploadAgainAndAgain(made, working.signal);
  const woken = await writeAll(made, logs, random);
  working.abort();
  const uploads = await uploading;
  made.clock.time = Date.now() + 3_600_000;
  await made.upload();
  const seconds = (performance.now() - begun) / 1000;

  const { objects, found } = await unzipped(made);
  console.log(
    `${PARTITIONS * EACH} lines in ${seconds.toFixed(0)} s, ${objects} files, ${uploads} uploads meanwhile; ${woken}`,
  );
  const wanted = new Map<string, string[][]>();
  for (const [partition, records] of logs.entries()) {
    for (const { value } of records) {
      const { app } = JSON.parse(Buffer.from(value!).toString()) as { readonly app: string };
      if (!wanted.has(app))
        wanted.set(
          app,
          Array.from({ length: PARTITIONS }, () => []),
        );
      wanted.get(app)![partition]!.push(atOf(value!));
    }
  }
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [app, lines] of found) {
    const ofPartition = (partition: number) => lines.filter((at) => at.startsWith(`${partition}/`));
    expect(
      Array.from({ length: PARTITIONS }, (_, partition) => ofPartition(partition)),
      app,
    ).toEqual(wanted.get(app));
  }
});

/** A partition is one writer's at a time, as far as the platform knows: one that sleeps is not waited for. */
async function writeAll(
  made: World,
  logs: readonly (readonly ReturnType<typeof record>[])[],
  random: () => number,
): Promise<string> {
  const places = logs.map(() => 0);
  const taken = new Set<number>();
  const sleepers: Promise<string>[] = [];
  const all = PARTITIONS * EACH;
  const spaced = (number: number, of: number) => ((number + 0.5) * all) / (of + 1);
  let [kills, pauses] = [0, 0];
  const work = async () => {
    let writer = newWriter(made);
    for (;;) {
      const partition = places.findIndex((place, index) => place < EACH && !taken.has(index));
      if (partition === -1) return writer.end();
      taken.add(partition);
      const from = places[partition]!;
      const batch = logs[partition]!.slice(from, from + 100 + Math.floor(random() * 400));
      const done = places.reduce((sum, place) => sum + place, 0);
      const written = writer.write(batch, { lease: LEASE, files: 10, seal: { size: 2 ** 16, age: 20_000 } });
      if (kills < KILLS && done >= spaced(kills, KILLS)) {
        kills += 1;
        await pause(random() * 200);
        await Promise.all([writer.end(), written.catch(() => {})]);
        writer = newWriter(made);
      } else if (pauses < PAUSES && done >= spaced(pauses, PAUSES)) {
        pauses += 1;
        await pause(random() * 200);
        sleepers.push(asleep(writer, written));
        writer = newWriter(made);
      } else {
        await written;
        places[partition] = from + batch.length;
      }
      taken.delete(partition);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, work));
  const woken = await Promise.all(sleepers);
  expect([kills, pauses]).toEqual([KILLS, PAUSES]);
  return `who was paused ended ${woken.join(", ")}`;
}

function newWriter(made: World): Writer {
  const writer = new Writer(made);
  onTestFinished(() => writer.end());
  return writer;
}

/** It wakes when others have long gone on with what it had, and ends what it was at. */
async function asleep(writer: Writer, written: Promise<void>): Promise<string> {
  const ended = written.then(
    () => "well",
    (error: unknown) => String(error),
  );
  writer.child.kill("SIGSTOP");
  await pause(ASLEEP);
  writer.child.kill("SIGCONT");
  const how = await ended;
  await writer.end();
  return how;
}

/** Writers go by the machine's time, and so does who uploads. */
async function uploadAgainAndAgain(made: World, signal: AbortSignal): Promise<number> {
  for (let uploads = 0; ; uploads += 1) {
    if (signal.aborted) return uploads;
    made.clock.time = Date.now();
    await made.upload({ settings: { seal: { size: 2 ** 16, age: 20_000 } } });
    await pause(1000);
  }
}

/** What gzip's own tools find in the bucket: places of lines by application, in the order of the files' keys. */
async function unzipped(made: World) {
  const folder = join(made.folder, "unzipped");
  const files = new Map<string, string[]>();
  for (let after: string | undefined; ; ) {
    const { objects, next } = await made.bucket.list(after === undefined ? {} : { after });
    for (const { key } of objects) {
      const [app] = key.slice("app=".length).split("/") as [string];
      const path = join(folder, app, basename(key));
      mkdirSync(join(folder, app), { recursive: true });
      writeFileSync(path, await made.bucket.get(key));
      files.set(app, [...(files.get(app) ?? []), path]);
    }
    if (next === undefined) break;
    after = next;
  }
  const found = new Map<string, readonly string[]>();
  for (const [app, paths] of files) {
    execFileSync("gunzip", ["-t", ...paths]);
    const text = execFileSync("zcat", paths, { maxBuffer: 2 ** 30, encoding: "utf8" });
    const lines = text.trimEnd().split("\n");
    found.set(
      app,
      lines.map((line) => (JSON.parse(line) as { readonly at: string }).at),
    );
  }
  return { objects: [...files.values()].flat().length, found };
}
