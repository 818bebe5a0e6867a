import { appendFileSync, copyFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type ArchivedLine, archivedLines, type LineQuery } from "../../lib/client/archived-lines.ts";
import { atOf, record, records, type World, world } from "../handlers/archive/world.ts";

const find = async (
  { bucket, volume }: Pick<World, "bucket" | "volume">,
  query: Partial<LineQuery> = {},
  place: { readonly volume?: string; readonly bucket?: World["bucket"] } = { volume },
): Promise<string[]> => {
  const found: ArchivedLine[] = [];
  const at = { bucket, prefix: "", ...place };
  for await (const line of archivedLines(at, { folder: "orders", ...query })) found.push(line);
  return found.map(({ value }) => atOf(value));
};

const range = (partition: number, from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${partition}/${from + index}`);

const later = (made: World) => {
  made.clock.time += 400_000;
  return made.upload();
};

test("lines of one application, from bucket and volume, by their time", async () => {
  const made = world();
  await made.append([...records("orders", 0, 0, 10), ...records("orders", 1, 5, 15), ...records("users", 0, 10, 20)]);
  await later(made);
  await made.append(records("orders", 0, 20, 25));
  await made.append([record("orders", 1, 22)]);
  const all = await find(made);
  expect(all.slice(0, 8)).toEqual(["0/0", "0/1", "0/2", "0/3", "0/4", "0/5", "1/5", "0/6"]);
  expect(all.slice(-6)).toEqual(["0/20", "0/21", "0/22", "1/22", "0/23", "0/24"]);
  expect(all).toHaveLength(26);
  expect(await find(made, { folder: "users" })).toEqual(range(0, 10, 20));
  expect(await find(made, { folder: "nobody" })).toEqual([]);
  expect(await find(made, {}, {})).toHaveLength(20);
});

test("a span of time opens no more files than may have something of it", async () => {
  const made = world();
  const hours = 6;
  for (let hour = 0; hour < hours; hour += 1) {
    const lines = records("orders", 0, hour * 10, hour * 10 + 10);
    await made.append(lines.map((line) => ({ ...line, timestamp: made.clock.time + line.offset })));
    await later(made);
    made.clock.time += 3_600_000;
  }
  const first = Date.parse("2026-11-21T10:00:00Z");
  const streamed: string[] = [];
  const bucket: World["bucket"] = {
    ...made.bucket,
    async stream(key, options) {
      streamed.push(key);
      return made.bucket.stream(key, options);
    },
  };
  const { objects } = await made.bucket.list();
  expect(objects).toHaveLength(hours);
  const since = first + 3 * (3_600_000 + 400_000);
  expect(await find(made, { since, until: since + 35 }, { bucket })).toEqual(range(0, 30, 35));
  expect(streamed).toEqual([objects[3]!.key]);
});

test("what was written and never counted is shown once", async () => {
  const made = world();
  await made.append(records("orders", 0, 0, 10));
  const [name] = readdirSync(join(made.volume, "orders")) as [string];
  const file = join(made.volume, "orders", name);
  // A writer that was killed after it had written: its lines come in another file, and of the tail there is half a member.
  const orphan = join(made.volume, "orders", "00-00000009-dead.log.gz");
  copyFileSync(file, orphan);
  appendFileSync(orphan, Buffer.from("1f8b0804", "hex"));
  appendFileSync(file, "no member at all, but some text");
  expect(await find(made)).toEqual(range(0, 0, 10));
  await later(made);
  expect(await find(made)).toEqual(range(0, 0, 10));
});

test("a file that is uploaded while lines are shown is shown from the bucket", async () => {
  const made = world();
  await made.append(records("orders", 0, 0, 10));
  let listed = false;
  const bucket: World["bucket"] = {
    ...made.bucket,
    async list(options) {
      const page = await made.bucket.list(options);
      if (!listed) await later(made);
      listed = true;
      return page;
    },
  };
  expect(await find(made, {}, { bucket, volume: made.volume })).toEqual(range(0, 0, 10));
});

test("an object that is damaged is told of", async () => {
  const made = world();
  await made.append(records("orders", 0, 0, 100));
  await later(made);
  const { key } = (await made.bucket.list()).objects[0]!;
  const bytes = Buffer.from(await made.bucket.get(key));
  bytes[bytes.length - 20]! ^= 0xff;
  await made.bucket.put(key, bytes);
  await expect(find(made)).rejects.toThrow(/object "app=orders\/.*" of archive is damaged/);
  rmSync(made.volume, { recursive: true });
});
