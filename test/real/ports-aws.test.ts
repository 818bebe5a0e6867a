import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AwsWorld } from "../../lib/clouds/aws/runtime/account.ts";
import { port as s3Port } from "../../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { testBucket } from "../ports/conformance.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
let moto: MotoServer;
let made = 0;

beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto?.stop());

/** A name that no test before had. */
const fresh = (kind: string): string => {
  made += 1;
  return `${kind}-${made}`;
};

const account = () => ({ region: moto.region, endpoint: moto.url, credentials: moto.credentials });

async function around() {
  const files = await mkdtemp(join(tmpdir(), "millrace-aws-"));
  const credentials = async () => moto.credentials;
  const world: AwsWorld = { signal: new AbortController().signal, clock: systemClock, log: silent, files, credentials };
  return {
    world,
    advance: (seconds: number) => sleep(seconds * 1000),
    close: () => rm(files, { recursive: true, force: true }),
  };
}

async function bucketSubject() {
  const subject = await around();
  const bucket = fresh("bucket");
  const client = new S3Client({ ...account(), forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const address = { kind: "bucket", part: "media", bucket, region: moto.region, endpoint: moto.url } as const;
  const port = (world = subject.world) => s3Port(address, world);
  const uploads = async () => (await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads ?? [];
  return { ...subject, bucket: port(), port, uploads };
}

testBucket(async () => ({
  ...(await bucketSubject()),
  refuses: (key) => /^\.\.(\/|$)/.test(key),
  lacks: (key) => key.includes("\n"), // moto finds no route for it
}));

describe("a bucket of S3", () => {
  it("takes what is long in parts, and shows it whole or not at all", async () => {
    const { bucket, uploads, close } = await bucketSubject();
    const bytes = Buffer.alloc(20 * 2 ** 20, "0123456789abcde");
    const metadata = { title: "猫 100% a+b", Owner: "me" };
    const info = await bucket.put("stream", Readable.from(chunked(bytes)), { contentType: "video/mp4", metadata });
    expect(info).toMatchObject({ size: bytes.length, contentType: "video/mp4" });
    expect(info.etag).toMatch(/-3$/);
    expect(await bucket.head("stream")).toMatchObject({
      size: bytes.length,
      etag: info.etag,
      contentType: "video/mp4",
      metadata: { title: "猫 100% a+b", owner: "me" },
    });
    expect(Buffer.compare(await bucket.get("stream"), bytes)).toBe(0);
    await expect(bucket.put("broken", Readable.from(breaking(bytes)))).rejects.toThrow("the line went dead");
    expect(await bucket.head("broken")).toBeUndefined();
    expect(await uploads()).toEqual([]);
    await close();
  });

  it("puts what is long on condition", async () => {
    const { bucket, uploads, close } = await bucketSubject();
    const bytes = Buffer.alloc(17 * 2 ** 20);
    const { etag } = await bucket.put("a", bytes, { ifNoneMatch: "*" });
    await expect(bucket.put("a", bytes, { ifNoneMatch: "*" })).rejects.toMatchObject({ kind: "conflict" });
    expect((await bucket.head("a"))?.etag).toBe(etag);
    expect(await uploads()).toEqual([]);
    await close();
  });

  it("leaves nothing behind when its invocation ends in the middle", async () => {
    const { port, world, uploads, close } = await bucketSubject();
    const controller = new AbortController();
    const bucket = port({ ...world, signal: controller.signal });
    const endless = Readable.from(
      (async function* () {
        for (let chunk = 0; chunk < 30; chunk += 1) yield Buffer.alloc(2 ** 20);
        controller.abort(new Error("time is up"));
        await new Promise(() => {});
      })(),
    );
    await expect(bucket.put("a", endless)).rejects.toThrow();
    await expect(bucket.get("a")).rejects.toThrow("time is up");
    expect(await port().head("a")).toBeUndefined();
    expect(await uploads()).toEqual([]);
    await close();
  });

  it("says what is missing, what is not allowed, and who does not answer", async () => {
    const { world, close } = await bucketSubject();
    const address = { kind: "bucket", part: "media", bucket: "no-such-bucket", region: moto.region } as const;
    const stranger = s3Port({ ...address, endpoint: moto.url }, world);
    await expect(stranger.get("a")).rejects.toMatchObject({ kind: "not-found", message: /NoSuchBucket/ });
    await expect(stranger.put("a", "")).rejects.toMatchObject({ kind: "not-found", message: /NoSuchBucket/ });
    const nobody = s3Port({ ...address, endpoint: "http://127.0.0.1:9" }, world);
    await expect(nobody.get("a")).rejects.toMatchObject({ kind: "unavailable", message: /ECONNREFUSED/ });
    await close();
  });
});

function* chunked(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += 1_000_003) yield bytes.subarray(from, from + 1_000_003);
}

async function* breaking(bytes: Buffer): AsyncGenerator<Buffer> {
  yield* chunked(bytes);
  throw new Error("the line went dead");
}
