import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { archivedLines } from "../../lib/client/archived-lines.ts";
import { port } from "../../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { folderOf } from "../../lib/shared/archive/application.ts";
import { record, records, world } from "../handlers/archive/world.ts";
import { lossy } from "./servers/lossy.ts";
import { type S3Server, startS3 } from "./servers/s3.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
let store: S3Server;
beforeAll(async () => {
  store = await startS3();
});
afterAll(() => store?.stop());

/** A bucket of a real store. */
async function bucketOf(name: string, endpoint = store.url) {
  const files = await mkdtemp(join(tmpdir(), "millrace-archive-"));
  onTestFinished(() => rm(files, { recursive: true, force: true }));
  const { region, url, credentials } = store;
  const client = new S3Client({ region, endpoint: url, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: name }));
  const keys = async () => credentials;
  const around = { signal: new AbortController().signal, clock: systemClock, log: silent, files, credentials: keys };
  return port({ kind: "bucket", part: name, bucket: name, region, endpoint }, around);
}

test("files of all sizes go to a real store, are looked at there, and are found again by their lines", async () => {
  const bucket = await bucketOf("archive");
  const made = world();
  const app = "Заказы ../ 猫";
  // In pieces: no compression makes noise smaller.
  const noise = Array.from({ length: 24 }, (_, offset) => ({
    ...record(app, 0, offset),
    value: Buffer.from(JSON.stringify({ app, noise: randomBytes(2 ** 20).toString("base64") })),
  }));
  for (const one of noise) await made.append([one], { settings: { seal: { size: 2 ** 30, age: 300_000 } } });
  await made.append(records("orders", 1, 0, 3));
  made.clock.time += 400_000;
  expect(await made.upload({ bucket })).toMatchObject({ files: 2, left: 0 });
  const { objects } = await bucket.list();
  expect(objects.map(({ key }) => key.split("/")[0])).toEqual(["app=orders", `app=${folderOf(app)}`].sort());
  const large = await bucket.head(objects.find(({ key }) => key.includes("~"))!.key);
  expect(large).toMatchObject({ contentType: "application/gzip", metadata: { application: app, records: "24" } });
  expect(large!.size).toBeGreaterThan(20 * 2 ** 20);

  const found: Buffer[] = [];
  for await (const { value } of archivedLines({ bucket, prefix: "" }, { folder: folderOf(app) })) {
    found.push(Buffer.from(value));
  }
  expect(found.every((value, index) => value.equals(noise[index]!.value))).toBe(true);
  expect(found).toHaveLength(24);
  const since = 1_790_000_000_000 + 2;
  const offsets: number[] = [];
  for await (const { offset } of archivedLines({ bucket, prefix: "" }, { folder: "orders", since }))
    offsets.push(offset);
  expect(offsets).toEqual([2]);
}, 60_000);

test("a store that answers 503 for a while has every file all the same, once and whole", async () => {
  const line = await lossy(store.url);
  onTestFinished(() => void line.close());
  const bucket = await bucketOf("busy", line.url);
  const made = world();
  const apps = ["orders", "users", "carts"];
  for (const [partition, app] of apps.entries()) await made.append(records(app, partition, 0, 50));
  made.clock.time += 400_000;
  line.refuseNext(40);
  expect(await made.upload({ bucket })).toMatchObject({ files: 3, left: 0 });
  expect(line.toRefuse()).toBe(0);
  for (const folder of apps) {
    const offsets: number[] = [];
    for await (const { offset } of archivedLines({ bucket, prefix: "" }, { folder })) offsets.push(offset);
    expect(offsets).toEqual(Array.from({ length: 50 }, (_, offset) => offset));
  }
  // Gone for longer than an upload has time: the files stay, and the next one takes them.
  await made.append(records("orders", 0, 50, 60));
  made.clock.time += 400_000;
  line.refuseNext(1_000_000);
  await expect(made.upload({ bucket })).rejects.toMatchObject({ kind: "unavailable" });
  line.refuseNext(-line.toRefuse());
  expect(await made.upload({ bucket })).toMatchObject({ files: 1, left: 0 });
}, 60_000);
