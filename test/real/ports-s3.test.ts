import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { port } from "../../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { testBucket } from "../ports/conformance.ts";
import { testUploads } from "../ports/uploads-conformance.ts";
import { type S3Server, startS3 } from "./servers/s3.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
let store: S3Server;
let made = 0;

beforeAll(async () => {
  store = await startS3();
});
afterAll(() => store?.stop());

/** A bucket of a store that is not S3. */
async function subject() {
  made += 1;
  const bucket = `bucket-${made}`;
  const { region, url: endpoint } = store;
  await new S3Client({ region, endpoint, credentials: store.credentials, forcePathStyle: true }).send(
    new CreateBucketCommand({ Bucket: bucket }),
  );
  const files = await mkdtemp(join(tmpdir(), "millrace-s3-"));
  const credentials = async () => store.credentials;
  const address = { kind: "bucket", part: "media", bucket, region, endpoint } as const;
  const world = { signal: new AbortController().signal, clock: systemClock, log: silent, files, credentials };
  return {
    bucket: port(address, world),
    /** The same one, to somebody with another key. */
    stranger: port(address, {
      ...world,
      credentials: async () => ({ ...store.credentials, secretAccessKey: "another" }),
    }),
    advance: async () => {},
    close: () => rm(files, { recursive: true, force: true }),
  };
}

/**
 * The store keeps objects as files: a folder's name is no file's, and what is no path is no key. It lists keys as they
 * are, and XML cannot hold every character.
 */
const isNoFile = (key: string): boolean =>
  ["a", "folder"].includes(key) ||
  /[\p{Cc}\uFFFE\uFFFF]/u.test(key) ||
  key.split("/").some((name) => /^\.{0,2}$/.test(name) || name.includes("\0") || Buffer.byteLength(name) > 255);

testUploads(async () => ({ ...(await subject()), copies: true, wholes: true }));

testBucket(async () => ({ ...(await subject()), refuses: (key) => /^\.\.(\/|$)/.test(key), lacks: isNoFile }));

describe("a bucket of another store than S3", () => {
  it("takes what is long in parts, on condition", async () => {
    const { bucket, close } = await subject();
    const bytes = Buffer.alloc(17 * 2 ** 20, "0123456789abcde");
    const { etag, size } = await bucket.put("long", bytes, { ifNoneMatch: "*", metadata: { title: "猫 100%" } });
    expect(await bucket.head("long")).toMatchObject({ etag, size, metadata: { title: "猫 100%" } });
    expect(Buffer.compare(await bucket.get("long", { ifMatch: etag }), bytes)).toBe(0);
    await expect(bucket.put("long", bytes, { ifNoneMatch: "*" })).rejects.toMatchObject({ kind: "conflict" });
    await expect(bucket.put("long", bytes, { ifMatch: "another" })).rejects.toMatchObject({ kind: "conflict" });
    expect(await bucket.head("long")).toMatchObject({ etag });
    await close();
  });

  it("says what is not allowed", async () => {
    const { stranger, close } = await subject();
    await expect(stranger.get("a")).rejects.toMatchObject({ kind: "refused", message: /SignatureDoesNotMatch/ });
    await close();
  });
});
