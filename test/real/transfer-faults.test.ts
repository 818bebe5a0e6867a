import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ListMultipartUploadsCommand, ListPartsCommand, type Part, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { MB, transferOf } from "../handlers/transfer/in-process.ts";
import { noise } from "../handlers/transfer/world.ts";
import { corrupting } from "./servers/corrupting.ts";
import { type S3Server, startS3 } from "./servers/s3.ts";
import { transferBuckets } from "./transfer-buckets.ts";

let store: S3Server;

beforeAll(async () => {
  store = await startS3();
});
afterAll(() => store?.stop());
/** The parts of an object that is on its way, as the store lists them. */
async function partsOf(client: S3Client, bucket: string): Promise<readonly Part[]> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  const found = await Promise.all(
    Uploads.map(({ Key, UploadId }) => client.send(new ListPartsCommand({ Bucket: bucket, Key, UploadId }))),
  );
  return found.flatMap(({ Parts = [] }) => Parts);
}

test("after kill -9, again and again, no part that was there is copied again", { timeout: 60_000 }, async () => {
  const { from, to, names, client, uploads } = await transferBuckets(store, false);
  const bytes = noise(40 * MB);
  await from.put("in/large", bytes);
  for (let n = 0; n < 20; n += 1) await from.put(`in/small/${n}`, `content ${n}`);
  const env = {
    ...process.env,
    AWS_ACCESS_KEY_ID: store.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: store.credentials.secretAccessKey,
  };
  const begin = (): ChildProcess => {
    const script = fileURLToPath(new URL("transfer-process.ts", import.meta.url));
    const args = [script, store.url, store.region, names.from, names.to, names.state, "in/"];
    const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    return child;
  };
  const there = new Map<number, string>();
  const look = async () => {
    for (const { PartNumber = 0, LastModified } of await partsOf(client, names.to)) {
      const time = LastModified?.toISOString() ?? "";
      expect(there.get(PartNumber) ?? time, `part ${PartNumber}`).toBe(time);
      there.set(PartNumber, time);
    }
  };
  for (let kill = 1; kill <= 2; kill += 1) {
    const child = begin();
    const ended = once(child, "exit");
    const before = there.size;
    while (there.size === before && child.exitCode === null) {
      await look();
      await sleep(5);
    }
    await sleep(Math.random() * 30);
    child.kill("SIGKILL");
    await ended;
    await look();
  }
  expect(there.size).toBeGreaterThanOrEqual(2);
  const last = begin();
  let isOver = false;
  void once(last, "exit").then(() => {
    isOver = true;
  });
  while (!isOver) {
    await look();
    await sleep(20);
  }
  expect(last.exitCode).toBe(0);
  expect(Buffer.compare(await to.get("in/large"), bytes)).toBe(0);
  expect((await to.list({ prefix: "in/small/" })).objects).toHaveLength(20);
  expect(await uploads()).toBe(0);
});

test("a bit that falls over on the line is found, there and back", { timeout: 60_000 }, async () => {
  const line = await corrupting(store.url);
  onTestFinished(() => void line.close());
  const { uploads, ...links } = await transferBuckets(store, false, line.url);
  const { from, to } = links;
  const [large, small] = [noise(11 * MB), noise(MB, 2)];
  await from.put("large", large);
  await from.put("small", small);
  const transfer = transferOf(links);
  for (const key of ["large", "small"]) {
    line.corrupt("answered");
    const moving = transfer({ object: key }, { run: `${key}-answered` });
    await expect(moving, key).rejects.toMatchObject({
      kind: "failed",
      message: /has the CRC [0-9a-f]{16}, and its copy/,
    });
    line.corrupt("answered", 0);
    expect(await to.head(key)).toBeUndefined();
  }
  const before = line.corrupted();
  line.corrupt("sent", 2);
  expect(await transfer({ prefix: "" }, { run: "sent" })).toMatchObject({ objects: 2 });
  expect(line.corrupted() - before).toBe(2);
  expect(Buffer.compare(await to.get("large"), large)).toBe(0);
  expect(Buffer.compare(await to.get("small"), small)).toBe(0);
  expect(await uploads()).toBe(0);
});
