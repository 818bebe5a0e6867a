import { execFileSync } from "node:child_process";
import { appendFileSync, readdirSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { StreamRecord } from "../../../lib/runtime/events.ts";
import { archived, atOf, everything, record, records, watched, world } from "./world.ts";

const range = (partition: number, from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${partition}/${from + index}`);

const filesOn = (volume: string): string[] =>
  (readdirSync(volume, { recursive: true }) as string[]).filter((name) => name.includes(".log.")).sort();

test("a batch is split by application, and every line is in the bucket once, as it was received", async () => {
  const made = world();
  const batch = [...records("orders", 0, 0, 5), ...records("users", 0, 5, 8), ...records("orders", 1, 0, 3)];
  expect(await made.append(batch)).toEqual({ applications: 2, records: 11, duplicates: 0 });
  expect(await made.append(records("orders", 0, 8, 10))).toMatchObject({ records: 2 });
  expect(filesOn(made.volume)).toHaveLength(3);
  expect(await everything(made)).toEqual({
    orders: [...range(0, 0, 5), ...range(0, 8, 10), ...range(1, 0, 3)],
    users: range(0, 5, 8),
  });
  expect(filesOn(made.volume)).toEqual([]);
  const { objects } = await made.bucket.list();
  for (const { key } of objects) {
    const bytes = await made.bucket.get(key);
    const text = execFileSync("zcat", { input: bytes }).toString();
    execFileSync("gunzip", ["-t"], { input: bytes });
    expect(text.endsWith("\n")).toBe(true);
    expect(key).toMatch(/^app=(orders|users)\/dt=2026-11-21\/hour=10\/0[01]-00000001-\w+_179\d+_179\d+\.log\.gz$/);
  }
});

test("batches that are given again, however they are cut, are archived once", async () => {
  const made = world();
  const all = records("orders", 3, 0, 100);
  await made.append(all.slice(0, 40));
  expect(await made.append(all.slice(0, 40))).toEqual({ applications: 1, records: 0, duplicates: 40 });
  expect(await made.append(all.slice(20, 60))).toMatchObject({ records: 20, duplicates: 20 });
  await made.append([...all.slice(50, 100), ...all.slice(55, 90)]);
  await made.append(all);
  expect(await everything(made)).toEqual({ orders: range(3, 0, 100) });
  expect(made.counts).toMatchObject({ "archive.records": 100 });
  // Also when the file was uploaded, and removed.
  expect(await made.append(all)).toMatchObject({ records: 0 });
});

test("the same offsets of another stream are other records", async () => {
  const made = world();
  await made.append(records("orders", 0, 0, 3), { stream: "one" });
  await made.append(records("orders", 0, 0, 3), { stream: "two" });
  expect(await everything(made)).toEqual({ orders: [...range(0, 0, 3), ...range(0, 0, 3)] });
});

/** Something that one waits for and another lets happen. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Killed: nothing that would have followed is done, not even what tidies up. */
class Killed extends Error {}

test("killed before or after any call to the table, each record is archived once", async () => {
  // Each call of a batch by its number, and whether it was done when the process was killed.
  for (let at = 0, reached = true; reached; at += 1) {
    const made = world();
    await made.append(records("orders", 0, 0, 10));
    reached = false;
    let calls = 0;
    const dying = watched(made.table, () => {
      if (calls++ >= at) {
        reached = true;
        throw new Killed();
      }
    });
    const killed = made.append([...records("orders", 0, 10, 20), ...records("users", 5, 0, 5)], { table: dying });
    if (
      await killed.then(
        () => false,
        (error) => error instanceof Killed,
      )
    )
      expect(reached).toBe(true);
    // The lease of who was killed is not over; whoever comes waits for it.
    await made.append([...records("orders", 0, 10, 20), ...records("users", 5, 0, 5)]);
    await made.append(records("orders", 0, 20, 22));
    expect(await everything(made), `killed at ${at}`).toEqual({ orders: range(0, 0, 22), users: range(5, 0, 5) });
  }
});

test("a writer that sleeps past its lease writes to a file that nobody counts", async () => {
  const made = world();
  await made.append(records("orders", 0, 0, 10));
  const batch = records("orders", 0, 10, 20);
  let asleep = gate();
  const wake = gate();
  let puts = 0;
  const sleepy = watched(made.table, async (when, call) => {
    // It has taken the slot, and has not written yet.
    if (when === "after" && call === "put" && ++puts === 1) {
      asleep.open();
      await wake.opened;
    }
  });
  const zombie = made.append(batch, { table: sleepy });
  await asleep.opened;
  made.clock.time += 30_000;
  expect(await made.append(batch)).toMatchObject({ records: 10 });
  await made.append(records("orders", 0, 20, 30));
  wake.open();
  // Its put is refused; then it sees that all is done.
  expect(await zombie).toMatchObject({ records: 0, duplicates: 10 });
  await made.append(records("orders", 0, 30, 35));
  expect(filesOn(made.volume)).toHaveLength(2);
  expect(await everything(made)).toEqual({ orders: range(0, 0, 35) });

  // Now one that has written and flushed, and sleeps before it says so.
  asleep = gate();
  const late = gate();
  puts = 0;
  const sleepier = watched(made.table, async (when, call) => {
    if (when === "before" && call === "put" && ++puts === 2) {
      asleep.open();
      await late.opened;
    }
  });
  const other = made.append(records("orders", 0, 35, 45), { table: sleepier });
  await asleep.opened;
  made.clock.time += 30_000;
  await made.append(records("orders", 0, 35, 40));
  late.open();
  expect(await other).toMatchObject({ records: 5, duplicates: 5 });
  expect(await everything(made)).toEqual({ orders: range(0, 0, 45) });
});

test("a put that was done, though its answer was lost, is not done twice", async () => {
  const made = world();
  for (const lost of [1, 2]) {
    let puts = 0;
    const deaf = watched(made.table, (when, call) => {
      if (when === "after" && call === "put" && ++puts === lost) throw new MillraceError("unavailable", "no answer");
    });
    await made.append(records("orders", 0, lost * 10, lost * 10 + 10), { table: deaf });
  }
  expect(await everything(made)).toEqual({ orders: range(0, 10, 30) });
});

test("a table that is gone for a minute is waited for; gone for longer, the batch fails and loses nothing", async () => {
  const made = world();
  let back = made.clock.time + 60_000;
  const gone = watched(made.table, () => {
    if (made.clock.time < back) throw new MillraceError("unavailable", "gone");
  });
  expect(await made.append(records("orders", 0, 0, 10), { table: gone })).toMatchObject({ records: 10 });
  back = made.clock.time + 3_600_000;
  await expect(made.append(records("orders", 0, 10, 20), { table: gone })).rejects.toMatchObject({
    kind: "unavailable",
  });
  await made.append(records("orders", 0, 10, 20));
  expect(await everything(made)).toEqual({ orders: range(0, 0, 20) });
});

test("torn and foreign bytes behind what counts are cut off by who goes on, and not uploaded", async () => {
  const made = world();
  await made.append(records("orders", 0, 0, 10));
  const [file] = filesOn(made.volume) as [string];
  appendFileSync(join(made.volume, file), "torn");
  await made.append(records("orders", 0, 10, 20));
  appendFileSync(join(made.volume, file), "torn again");
  expect(await everything(made)).toEqual({ orders: range(0, 0, 20) });
  const { objects } = await made.bucket.list();
  execFileSync("gunzip", ["-t"], { input: await buffer(await made.bucket.stream(objects[0]!.key)) });
});

test("a file that lost what was archived is told of, and the others go on", async () => {
  const made = world();
  await made.append([...records("orders", 0, 0, 10), ...records("users", 0, 10, 20)]);
  const [file] = filesOn(made.volume) as [string];
  truncateSync(join(made.volume, file), 5);
  await made.append(records("orders", 0, 20, 30));
  made.clock.time += 400_000;
  await expect(made.upload()).rejects.toThrow(/orders\/.* was not uploaded: it has 5 bytes, and \d+ were archived/);
  const found = await archived(made.bucket);
  expect(found.orders?.map(({ value }) => atOf(value))).toEqual(range(0, 20, 30));
  expect(found.users).toHaveLength(10);
  // It stays, to be looked at.
  expect(filesOn(made.volume)).toEqual([file]);
  await expect(made.upload()).rejects.toThrow(/was not uploaded/);
});

test("files are closed by size, age and hour", async () => {
  const made = world({ seal: { size: 300, age: 300_000 } });
  await made.append(records("orders", 0, 0, 100));
  await made.append(records("orders", 0, 100, 101));
  expect(filesOn(made.volume)).toHaveLength(2);
  made.clock.time += 300_000;
  await made.append(records("orders", 0, 101, 102));
  expect(filesOn(made.volume)).toHaveLength(3);
  made.clock.time = Date.parse("2026-11-21T10:59:59Z");
  await made.append(records("users", 0, 102, 103));
  made.clock.time = Date.parse("2026-11-21T11:00:01Z");
  await made.append(records("users", 0, 103, 104));
  await everything(made);
  const keys = (await made.bucket.list()).objects.map(({ key }) => key.replace(/-\w+_.*/, ""));
  expect(keys).toEqual([
    "app=orders/dt=2026-11-21/hour=10/00-00000001",
    "app=orders/dt=2026-11-21/hour=10/00-00000002",
    "app=orders/dt=2026-11-21/hour=10/00-00000003",
    "app=users/dt=2026-11-21/hour=10/00-00000001",
    "app=users/dt=2026-11-21/hour=11/00-00000002",
  ]);
});

test("an application keeps its number of files, since its marks lie with them", async () => {
  const made = world();
  await made.append(records("orders", 7, 0, 5));
  await made.append(records("orders", 7, 0, 10), { settings: { files: 2 } });
  await made.append(records("users", 7, 0, 5), { settings: { files: 2 } });
  expect(filesOn(made.volume).map((name) => name.slice(0, -12))).toEqual(["orders/03-00000001", "users/01-00000001"]);
  expect(await everything(made)).toEqual({ orders: range(7, 0, 10), users: range(7, 0, 5) });
});

test("however many write, an application has at most so many files at once", async () => {
  const made = world({ files: 3 });
  let most = 0;
  const counted = watched(made.table, async (when, call) => {
    if (when !== "after" || call !== "put") return;
    const { rows } = await made.table.query<{ readonly file?: object }>("app/orders");
    most = Math.max(most, rows.filter(({ value }) => value.file !== undefined).length);
  });
  const partitions = Array.from({ length: 12 }, (_, partition) => partition);
  for (const from of [0, 5]) {
    await Promise.all(
      partitions.map((partition) => made.append(records("orders", partition, from, from + 5), { table: counted })),
    );
  }
  expect(most).toBe(3);
  expect(filesOn(made.volume)).toHaveLength(3);
  const found = await everything(made);
  expect(found.orders?.toSorted()).toEqual(partitions.flatMap((partition) => range(partition, 0, 10)).toSorted());
});

test.each([
  "../../etc/passwd",
  "..",
  ".",
  "a/b",
  "nul\0",
  "Orders",
  "x".repeat(1024),
  "猫/\u202e",
  "\ud800",
  "-rf *",
  "con.",
  "a..b",
])("an application called %j stays in a folder of its own", async (app) => {
  const made = world();
  await made.append(records(app, 0, 0, 3));
  const folders = readdirSync(made.volume);
  expect(folders).toHaveLength(1);
  expect(folders[0]).toMatch(/^[a-z0-9-]*~[a-z0-9]{16}$/);
  expect(readdirSync(made.folder).sort()).not.toContain("etc");
  const found = await everything(made);
  expect(Object.values(found)).toEqual([range(0, 0, 3)]);
  const [object] = (await made.bucket.list()).objects;
  const named = await made.bucket.head(object!.key);
  expect(named?.metadata.application).toBe(app.slice(0, 100).replace("\ud800", "\ufffd"));
});

test("what names no application is unknown's", async () => {
  const made = world();
  const values = ["", "no json", "[]", "null", '{"app":""}', '{"app":{}}', '{"other":1}', `${"[".repeat(200_000)}`];
  const given = values.map((value, offset): StreamRecord => ({ ...record("x", 0, offset), value: Buffer.from(value) }));
  const { value: _, ...empty } = record("x", 0, values.length);
  await made.append([...given, empty, { ...record("x", 0, 20), value: Buffer.from('{"app":7}') }]);
  made.clock.time += 400_000;
  await made.upload();
  const found = await archived(made.bucket);
  expect(found.unknown?.map(({ value }) => Buffer.from(value).toString())).toEqual([...values, ""]);
  expect(found["7"]).toHaveLength(1);
});

test("empty, large and binary records, with line feeds, are kept byte by byte, by both codecs", async () => {
  const made = world();
  const values = ["", "\n", "two\nlines\n", "\xff\xfe\0", "x".repeat(2 ** 20), "\n".repeat(1000), "猫"].map((text) =>
    Buffer.from(text, text.includes("\xff") ? "latin1" : "utf8"),
  );
  const headers = { app: Buffer.from("binary") };
  const times = [0, -1, 1e300, Number.NaN, 9e15, 1, 2];
  const given = values.map((value, offset) => ({
    ...record("x", 0, offset),
    value,
    headers,
    timestamp: times[offset]!,
  }));
  const application = { header: "app" };
  await made.append(given.slice(0, 4), { settings: { application } });
  await made.append(given, { settings: { application, compression: { codec: "zstd", level: 1 } } });
  made.clock.time += 400_000;
  await made.upload();
  const found = await archived(made.bucket);
  expect(found.binary?.map(({ value }) => Buffer.from(value).toString("base64"))).toEqual(
    values.map((value) => value.toString("base64")),
  );
  const { objects } = await made.bucket.list();
  expect(objects.map(({ key }) => key.slice(key.indexOf(".log")))).toEqual([".log.gz", ".log.zst"]);
});

test("an application by header, by a deeper field, and by the user's code", async () => {
  const made = world();
  const one = { ...record("x", 0, 0), headers: { app: Buffer.from("by-header") } };
  await made.append([one], { settings: { application: { header: "app" } } });
  const two = { ...record("x", 0, 1), value: Buffer.from('{"labels":{"app":"deep"},"at":"0/1"}') };
  await made.append([two], { settings: { application: { path: ["labels", "app"] } } });
  const code = {
    application: ({ offset }: StreamRecord) => {
      if (offset > 5) throw new Error("a bug");
      return `code-${offset}`;
    },
  };
  await made.append([record("x", 0, 2), record("x", 0, 6)], { settings: { application: { code: true } }, code });
  expect(Object.keys(await everything(made)).sort()).toEqual(["by-header", "code-2", "deep", "unknown"]);
});

test("killed before or after any call, an upload loses and doubles nothing", async () => {
  for (let at = 0, reached = true; reached; at += 1) {
    const made = world();
    await made.append([...records("orders", 0, 0, 10), ...records("users", 1, 0, 5)]);
    made.clock.time += 400_000;
    reached = false;
    let calls = 0;
    const die = () => {
      if (calls++ < at) return;
      reached = true;
      throw new Killed();
    };
    const { bucket } = made;
    const through =
      <Args extends unknown[], Answer>(call: (...args: Args) => Promise<Answer>) =>
      async (...args: Args) => {
        die();
        const answer = await call(...args);
        die();
        return answer;
      };
    await made
      .upload({
        table: watched(made.table, die),
        bucket: {
          ...bucket,
          put: through(bucket.put),
          head: through(bucket.head),
          async stream(...args) {
            die();
            return bucket.stream(...args);
          },
        },
      })
      .catch(() => {});
    await made.upload();
    const found = await archived(bucket);
    expect(
      found.orders?.map(({ value }) => atOf(value)),
      `killed at ${at}`,
    ).toEqual(range(0, 0, 10));
    expect(found.users?.map(({ value }) => atOf(value))).toEqual(range(1, 0, 5));
  }
});

test("a bucket that answers 503 is tried again; what it holds that is not right is put again", async () => {
  const made = world();
  await made.append(records("orders", 0, 0, 10));
  made.clock.time += 400_000;
  let refused = 0;
  const { bucket } = made;
  await made.upload({
    bucket: {
      ...bucket,
      async put(key, body, options) {
        refused += 1;
        if (refused <= 2) throw new MillraceError("unavailable", "503 Slow Down");
        if (refused === 3) return bucket.put(key, "half of it", options);
        return bucket.put(key, body, options);
      },
    },
  });
  expect(refused).toBe(4);
  const found = await archived(bucket);
  expect(found.orders?.map(({ value }) => atOf(value))).toEqual(range(0, 0, 10));
});

test("uploads at once, and writers meanwhile, get in nobody's way", async () => {
  const made = world({ seal: { size: 200, age: 1000 } });
  const writing = async (partition: number) => {
    for (let from = 0; from < 60; from += 3) {
      await made.append(records("orders", partition, from, from + 3), { time: 1e9 });
      made.clock.time += 100;
    }
  };
  const uploading = async () => {
    for (let times = 0; times < 20; times += 1) await made.upload({ settings: { seal: { size: 200, age: 1000 } } });
  };
  await Promise.all([writing(0), writing(1), writing(4), writing(8), uploading(), uploading()]);
  const found = await everything(made);
  for (const partition of [0, 1, 4, 8]) {
    expect(found.orders?.filter((at) => at.startsWith(`${partition}/`))).toEqual(range(partition, 0, 60));
  }
  expect(found.orders).toHaveLength(240);
});

test("files that are nobody's are removed when they are old, and what is not ours stays", async () => {
  const made = world();
  await made.append(records("orders", 0, 0, 10));
  const orphan = join(made.volume, "orders", "00-00000009-abcd.log.gz");
  const foreign = join(made.volume, "orders", "notes.txt");
  for (const path of [orphan, foreign]) writeFileSync(path, "x");
  expect(await made.upload()).toMatchObject({ removed: 0 });
  const old = made.clock.time / 1000 - 2 * 86_400;
  for (const path of [orphan, foreign, join(made.volume, filesOn(made.volume)[0]!)]) utimesSync(path, old, old);
  expect(await made.upload()).toMatchObject({ removed: 1 });
  expect(readdirSync(join(made.volume, "orders"))).toHaveLength(2);
  expect(await everything(made)).toEqual({ orders: range(0, 0, 10) });
});
