import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { port } from "../../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { crc64 } from "../../lib/runtime/crc64.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { MB, transferOf } from "../handlers/transfer/in-process.ts";
import { noise } from "../handlers/transfer/world.ts";
import { type S3Server, startS3 } from "./servers/s3.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
let store: S3Server;
let made = 0;

beforeAll(async () => {
  store = await startS3();
});
afterAll(() => store?.stop());

/**
 * Three buckets of one store.
 *
 * @param isOne whether both are reached by the same keys, as far as the ports know
 */
async function buckets(isOne: boolean) {
  made += 1;
  const files = await mkdtemp(join(tmpdir(), "millrace-transfer-"));
  onTestFinished(() => rm(files, { recursive: true, force: true }));
  const { region, url: endpoint } = store;
  const client = new S3Client({ region, endpoint, credentials: store.credentials, forcePathStyle: true });
  const keys = async () => store.credentials;
  const open = async (part: string, credentials = keys) => {
    const bucket = `${part}-${made}`;
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    const world = { signal: new AbortController().signal, clock: systemClock, log: silent, files, credentials };
    return port({ kind: "bucket", part, bucket, region, endpoint }, world);
  };
  const from = await open("from");
  const to = await open("to", isOne ? keys : async () => store.credentials);
  const state = await open("state");
  const uploads = async () => {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: `to-${made}` }));
    return Uploads.length;
  };
  return { from, to, state, uploads };
}

test.each([
  ["by the store itself, as far as it says what it copied", true],
  ["through the workers", false],
])("a large object and small ones, %s", async (_, isOne) => {
  const { uploads, ...links } = await buckets(isOne);
  const { from, to } = links;
  const bytes = noise(37 * MB + 5);
  await from.put("in/film.mp4", bytes, { contentType: "video/mp4", metadata: { owner: "猫" } });
  for (let n = 0; n < 30; n += 1) await from.put(`in/small/${n}`, `content ${n}`);
  const transfer = transferOf(links);
  expect(await transfer({ prefix: "in/", to: "out/" })).toMatchObject({ objects: 31, kept: 0 });
  const head = await to.head("out/film.mp4", { crc64: true });
  expect(head).toMatchObject({ size: bytes.length, contentType: "video/mp4", metadata: { owner: "猫" } });
  expect(head?.crc64).toEqual({ kind: "nvme", value: crc64("nvme", bytes) });
  expect(Buffer.compare(await to.get("out/film.mp4"), bytes)).toBe(0);
  expect(Buffer.from(await to.get("out/small/29")).toString()).toBe("content 29");
  expect(await uploads()).toBe(0);
});

test.each([
  ["by the store itself", true],
  ["through the workers", false],
])("a source that changes is given up, %s", async (_, isOne) => {
  const { uploads, ...links } = await buckets(isOne);
  await links.from.put("a", noise(20 * MB));
  const before = (step: string) => step === "copy" && links.from.put("a", noise(20 * MB, 2));
  await expect(transferOf(links)({ object: "a" }, { before })).rejects.toMatchObject({ kind: "conflict" });
  expect(await links.to.head("a")).toBeUndefined();
  expect(await uploads()).toBe(0);
});

test("a worker that ends in the middle is followed by one that goes on", async () => {
  const { uploads, ...links } = await buckets(false);
  await links.from.put("a", noise(40 * MB));
  let put = 0;
  const to = new Proxy(links.to, {
    get(target, name) {
      const method = Reflect.get(target, name) as unknown;
      if (typeof method !== "function") return method;
      return async (...args: unknown[]) => {
        if (name === "putPiece" && put++ === 4) throw new Error("killed");
        return (method as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  const transfer = transferOf(links, { workers: 1, buffer: 5 * MB });
  await expect(transfer({ object: "a" }, { links: { to } })).rejects.toThrow("killed");
  put = 100;
  expect(await transfer({ object: "a" }, { links: { to }, run: "two" })).toMatchObject({ objects: 1 });
  expect(put - 100).toBe(4);
  expect(Buffer.compare(await links.to.get("a"), noise(40 * MB))).toBe(0);
  expect(await uploads()).toBe(0);
});
