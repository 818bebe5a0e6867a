import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { beforeEach, describe, expect, it } from "vitest";
import type { AlicloudWorld } from "../../lib/clouds/alicloud/runtime/account.ts";
import { port as ossPort } from "../../lib/clouds/alicloud/runtime/oss.ts";
import { port as smqPort } from "../../lib/clouds/alicloud/runtime/smq.ts";
import { port as tablestorePort } from "../../lib/clouds/alicloud/runtime/tablestore.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { FakeOss } from "../clouds/alicloud/fakes/oss.ts";
import { type FakeServer, KEYS } from "../clouds/alicloud/fakes/server.ts";
import { FakeSmq } from "../clouds/alicloud/fakes/smq.ts";
import { FakeTablestore } from "../clouds/alicloud/fakes/tablestore.ts";
import { testBucket, testQueue, testTable } from "./conformance.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A fake, what the ports need beside it, and a folder; all of them go when it closes. */
async function around(server: FakeServer) {
  const endpoint = await server.start();
  const files = await mkdtemp(join(tmpdir(), "millrace-alicloud-"));
  const world: AlicloudWorld = {
    signal: new AbortController().signal,
    clock: { now: () => server.now(), at: (time, callback) => timer(time - server.now(), callback) },
    log: silent,
    files,
    region: "cn-hangzhou",
    credentials: () => KEYS,
  };
  return {
    endpoint,
    world,
    advance: async (seconds: number) => server.advance(seconds),
    async close() {
      await server.close();
      await rm(files, { recursive: true, force: true });
    },
  };
}

function timer(milliseconds: number, callback: () => void): () => void {
  const handle = setTimeout(callback, milliseconds);
  return () => clearTimeout(handle);
}

async function oss() {
  const fake = new FakeOss("media-physical");
  const { endpoint, ...subject } = await around(fake.server);
  const address = { kind: "bucket", part: "media", bucket: "media-physical", region: "cn-hangzhou", endpoint } as const;
  return { ...subject, fake, bucket: ossPort(address, subject.world) };
}

testBucket(async () => ({
  ...(await oss()),
  refuses: (key) => Buffer.byteLength(key) > 1023 || /^[/\\]/.test(key),
}));

testQueue(async () => {
  const fake = new FakeSmq({
    work: { visibility: 30, dead: { queue: "dead", maxReceiveCount: 3 } },
    dead: { visibility: 30 },
  });
  const { endpoint, ...subject } = await around(fake.server);
  const queue = (name: string) =>
    smqPort({ kind: "queue", part: name, queue: name, account: "1", region: "cn-hangzhou", endpoint }, subject.world);
  return {
    ...subject,
    queue: queue("work"),
    deadLetters: queue("dead"),
    visibility: 30,
    attempts: 3,
    deduplicates: false,
  };
});

testTable(async () => {
  const fake = new FakeTablestore();
  const { endpoint, ...subject } = await around(fake.server);
  const address = {
    kind: "table",
    part: "state",
    instance: "i",
    table: "state",
    region: "cn-hangzhou",
    endpoint,
  } as const;
  return { ...subject, table: await tablestorePort(address, subject.world), now: () => fake.server.now() };
});

describe("a bucket of OSS", () => {
  let subject: Awaited<ReturnType<typeof oss>>;
  beforeEach(async () => {
    subject = await oss();
    return () => subject.close();
  });

  it("takes what is long in parts, and shows it whole or not at all", async () => {
    const { bucket, fake } = subject;
    const bytes = Buffer.alloc(20 * 2 ** 20, "0123456789abcde");
    const info = await bucket.put("stream", Readable.from(chunked(bytes)), { contentType: "video/mp4" });
    expect(info).toMatchObject({ size: bytes.length, contentType: "video/mp4" });
    expect(info.etag).toMatch(/-3$/);
    expect(await bucket.head("stream")).toEqual(info);
    expect(Buffer.compare(await bucket.get("stream"), bytes)).toBe(0);
    const broken = Readable.from(
      (async function* () {
        yield* chunked(bytes);
        throw new Error("the line went dead");
      })(),
    );
    await expect(bucket.put("broken", broken)).rejects.toThrow("the line went dead");
    expect(fake.objects.has("broken")).toBe(false);
    expect(fake.uploads.size).toBe(0);
    await expect(bucket.put("stream", Readable.from(chunked(bytes)), { ifNoneMatch: "*" })).rejects.toMatchObject({
      kind: "conflict",
    });
    expect(fake.uploads.size).toBe(0);
  });

  it("tries again what the service or the line failed, and says when it gives up", async () => {
    const { bucket, fake } = subject;
    fake.server.fail(503, "broken", 500);
    await bucket.put("a", "one");
    expect(Buffer.from(await bucket.get("a")).toString()).toBe("one");
    fake.server.fail(503, 503, 503, 503);
    await expect(bucket.get("a")).rejects.toMatchObject({ kind: "unavailable" });
  });

  it("says what is not allowed", async () => {
    const { world, fake } = subject;
    const address = { kind: "bucket", part: "media", bucket: "media-physical", region: "cn-hangzhou" } as const;
    const stranger = ossPort(
      { ...address, endpoint: fake.server.origin },
      { ...world, credentials: () => ({ ...KEYS, accessKeySecret: "another" }) },
    );
    await expect(stranger.get("a")).rejects.toMatchObject({ kind: "refused", message: /SignatureDoesNotMatch/ });
  });
});

function* chunked(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += 1_000_003) yield bytes.subarray(from, from + 1_000_003);
}
