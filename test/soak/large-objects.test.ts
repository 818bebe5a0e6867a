import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, expect, test } from "vitest";
import { port } from "../../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { type S3Server, startS3 } from "../real/servers/s3.ts";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
/** More than one request can take. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const SIZE = 5 * GIB + 12_345;
/** What may be added to the process while it goes through: some parts of 8 MiB, and what is not collected yet. */
const ROOM = 256 * MIB;

let store: S3Server;
let files: string;

beforeEach(async () => {
  store = await startS3();
  files = await mkdtemp(join(tmpdir(), "millrace-large-"));
  return async () => {
    await store.stop();
    await rm(files, { recursive: true, force: true });
  };
});
afterEach(() => {
  peak.stop();
});

/** The most memory the process has had since it was asked to look. */
const peak = {
  most: 0,
  timer: undefined as NodeJS.Timeout | undefined,
  start() {
    this.most = process.memoryUsage.rss();
    this.timer = setInterval(() => {
      this.most = Math.max(this.most, process.memoryUsage.rss());
    }, 50);
    return this.most;
  },
  stop() {
    clearInterval(this.timer);
    return this.most;
  },
};

/** That many bytes that do not repeat within a part, and their hash once they are through. */
function content(size: number) {
  const block = randomBytes(MIB);
  const hash = createHash("sha256");
  async function* chunks() {
    for (let sent = 0, turn = 0; sent < size; turn += 1) {
      const chunk = Buffer.from(block.subarray(0, Math.min(MIB, size - sent)));
      chunk.writeUInt32LE(turn % 2 ** 32, 0);
      hash.update(chunk);
      sent += chunk.length;
      yield chunk;
    }
  }
  return { stream: Readable.from(chunks(), { objectMode: false }), digest: () => hash.digest("hex") };
}

test("an object of more than 5 GiB goes in and out as a stream, in the same memory", async () => {
  const { region, url: endpoint, credentials } = store;
  await new S3Client({ region, endpoint, credentials, forcePathStyle: true }).send(
    new CreateBucketCommand({ Bucket: "large" }),
  );
  const bucket = port(
    { kind: "bucket", part: "large", bucket: "large", region, endpoint },
    {
      signal: new AbortController().signal,
      clock: systemClock,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      files,
      credentials: async () => credentials,
    },
  );
  const { stream, digest } = content(SIZE);
  const before = peak.start();
  const info = await bucket.put("large", stream);
  expect(peak.stop() - before).toBeLessThan(ROOM);
  expect(info.size).toBe(SIZE);
  expect(await bucket.head("large")).toMatchObject({ size: SIZE, etag: info.etag });

  const hash = createHash("sha256");
  const beforeReading = peak.start();
  for await (const chunk of await bucket.stream("large", { ifMatch: info.etag })) hash.update(chunk);
  expect(peak.stop() - beforeReading).toBeLessThan(ROOM);
  expect(hash.digest("hex")).toBe(digest());

  const last = await bucket.get("large", { range: [SIZE - 10, SIZE + 10] });
  expect(last).toHaveLength(10);
});
