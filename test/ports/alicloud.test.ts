import { truncateSync } from "node:fs";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { beforeEach, describe, expect, it } from "vitest";
import type { AlicloudWorld } from "../../lib/clouds/alicloud/runtime/account.ts";
import { port as functionPort } from "../../lib/clouds/alicloud/runtime/function.ts";
import { toThrown } from "../../lib/clouds/alicloud/runtime/functions.ts";
import { port as kmsPort } from "../../lib/clouds/alicloud/runtime/kms.ts";
import { storeLogs } from "../../lib/clouds/alicloud/runtime/logs.ts";
import { port as ossPort } from "../../lib/clouds/alicloud/runtime/oss.ts";
import { signSls } from "../../lib/clouds/alicloud/runtime/signature.ts";
import { port as smqPort } from "../../lib/clouds/alicloud/runtime/smq.ts";
import { port as tablestorePort } from "../../lib/clouds/alicloud/runtime/tablestore.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { FakeFc } from "../clouds/alicloud/fakes/fc.ts";
import { FakeKms } from "../clouds/alicloud/fakes/kms.ts";
import { FakeOss } from "../clouds/alicloud/fakes/oss.ts";
import { type FakeServer, KEYS } from "../clouds/alicloud/fakes/server.ts";
import { FakeSls } from "../clouds/alicloud/fakes/sls.ts";
import { FakeSmq } from "../clouds/alicloud/fakes/smq.ts";
import { FakeTablestore } from "../clouds/alicloud/fakes/tablestore.ts";
import { testBucket, testQueue, testTable } from "./conformance.ts";
import { testUploads } from "./uploads-conformance.ts";

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

testUploads(async () => ({ ...(await oss()), copies: true }));

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

  it("takes any key in every kind of request", async () => {
    const { bucket, fake } = subject;
    const key = "a+b %2F100%#?&=;@:$,!'()*~ \"`<>[]{}|^/.././/视频é\u0301🎬.mp4";
    const other = `${key}2`;
    const bytes = Buffer.alloc(9 * 2 ** 20, "0123456789abcde");
    const path = join(subject.world.files, "whole");
    await writeFile(path, bytes);

    const parts = await bucket.put(key, Readable.from(chunked(bytes)), { ifNoneMatch: "*", metadata: { name: key } });
    await expect(bucket.put(key, Readable.from(chunked(bytes)), { ifNoneMatch: "*" })).rejects.toMatchObject({
      kind: "conflict",
    });
    const again = await bucket.put(key, Readable.from(chunked(bytes)), { ifMatch: parts.etag });
    expect(again.key).toBe(key);
    expect((await bucket.head(key))?.size).toBe(bytes.length);
    const whole = await bucket.putFile(other, path);
    expect(whole.size).toBe(bytes.length);
    await expect(
      bucket.put(key, Readable.from(chunked(bytes)), { ifMatch: parts.etag + whole.etag }),
    ).rejects.toThrow();
    expect((await bucket.list({ prefix: key })).objects.map((one) => one.key)).toEqual([key, other]);
    expect((await bucket.list({ prefix: key, after: key })).objects.map((one) => one.key)).toEqual([other]);
    expect(Buffer.compare(await readFile(await bucket.file(key)), bytes)).toBe(0);
    expect(Buffer.from(await bucket.get(other, { range: [1, 3], ifMatch: whole.etag })).toString()).toBe("123");
    await bucket.put(key, "short", { ifMatch: again.etag });
    expect(Buffer.from(await bucket.get(key)).toString()).toBe("short");
    await bucket.remove(key);
    await bucket.remove(other);
    expect([fake.objects.size, fake.uploads.size]).toEqual([0, 0]);
    const kinds = fake.server.requests.map(({ method, query }) =>
      [method, ...["uploads", "partNumber", "uploadId", "list-type"].filter((name) => name in query)].join(" "),
    );
    expect([...new Set(kinds)].toSorted()).toEqual([
      "DELETE",
      "DELETE uploadId",
      "GET",
      "GET list-type",
      "HEAD",
      "POST uploadId",
      "POST uploads",
      "PUT",
      "PUT partNumber uploadId",
    ]);
  });

  it("puts a file in at most 10,000 parts, each as large as that needs", async () => {
    const { bucket, fake, world } = subject;
    const path = join(world.files, "sparse");
    const size = 200_000_000_001;
    await writeFile(path, "");
    await truncate(path, size);
    fake.server.forbids = ({ query }) => query.partNumber === "3";
    await expect(bucket.putFile("large", path)).rejects.toMatchObject({ kind: "refused" });
    const [part] = fake.server.requests.filter(({ query }) => query.partNumber === "1");
    expect(part?.body.length).toBe(Math.ceil(size / 10_000));
    expect([fake.objects.size, fake.uploads.size]).toEqual([0, 0]);
  });

  it("puts nothing of a file that becomes shorter meanwhile", async () => {
    const { bucket, fake, world } = subject;
    const path = join(world.files, "shrinking");
    await writeFile(path, Buffer.alloc(40 * 2 ** 20));
    fake.server.forbids = ({ query }) => {
      if ("uploads" in query) truncateSync(path, 20 * 2 ** 20);
      return false;
    };
    await expect(bucket.putFile("large", path)).rejects.toMatchObject({ kind: "conflict", message: /became shorter/ });
    expect([fake.objects.size, fake.uploads.size]).toEqual([0, 0]);
  });

  it("ends with the first part that is refused, though the stream has nothing more to say", async () => {
    const { bucket, fake } = subject;
    async function* stalling() {
      yield Buffer.alloc(17 * 2 ** 20);
      await new Promise(() => {});
    }
    fake.server.forbids = ({ query }) => "partNumber" in query;
    await expect(bucket.put("stalled", Readable.from(stalling()))).rejects.toMatchObject({ kind: "refused" });
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

describe("a secret of Key Management Service", () => {
  async function kms() {
    const fake = new FakeKms();
    const { endpoint, ...subject } = await around(fake.server);
    const address = { kind: "secret", part: "key", secret: "shop/key", region: "cn-hangzhou", endpoint } as const;
    return { ...subject, fake, address };
  }

  it.each(["geheim 猫", Buffer.from("geheim 猫")])("is read, once an invocation: %s", async (value) => {
    const { fake, address, world, close } = await kms();
    fake.secrets.set("shop/key", value);
    const secret = kmsPort(address, world);
    expect([await secret.value(), await secret.value()]).toEqual(["geheim 猫", "geheim 猫"]);
    expect(fake.server.requests).toHaveLength(1);
    fake.secrets.set("shop/key", "another");
    expect(await kmsPort(address, world).value()).toBe("another");
    await close();
  });

  it("says which one is missing, locked, or asked for by somebody else", async () => {
    const { fake, address, world, close } = await kms();
    await expect(kmsPort(address, world).value()).rejects.toMatchObject({
      kind: "not-found",
      message: /^secret key: /,
    });
    fake.secrets.set("shop/key", "geheim");
    fake.locked.add("shop/key");
    await expect(kmsPort(address, world).value()).rejects.toMatchObject({
      kind: "refused",
      message: /^secret key: 403 Forbidden/,
    });
    const stranger = { ...world, credentials: () => ({ ...KEYS, accessKeySecret: "another" }) };
    await expect(kmsPort(address, stranger).value()).rejects.toMatchObject({ message: /SignatureDoesNotMatch/ });
    await close();
  });

  it("is asked for again where the service was busy", async () => {
    const { fake, address, world, close } = await kms();
    fake.secrets.set("shop/key", "geheim");
    fake.server.fail(503, "broken", 429);
    expect(await kmsPort(address, world).value()).toBe("geheim");
    await close();
  });
});

describe("a call of a function of Function Compute", () => {
  async function calling(handler: (event: Buffer) => unknown) {
    const fake = new FakeFc();
    const { endpoint: functionEndpoint, ...subject } = await around(fake.server);
    const answer = async (event: Buffer) => Buffer.from(JSON.stringify((await handler(event)) ?? null));
    fake.functions.set("resize-x", { handler: answer, timeout: 60 });
    const place = { account: "1", region: "cn-hangzhou", functionEndpoint };
    const at = (name: string, world = subject.world) =>
      functionPort({ kind: "function", part: "resize", function: name, ...place }, world);
    return { ...subject, fake, at };
  }

  it("carries the payload in an envelope with an id and a time, and brings the answer back", async () => {
    const { at, close } = await calling((event) => JSON.parse(event.toString()));
    const envelope = await at("resize-x").invoke({ text: "héllo 猫 🎬" });
    expect(envelope).toEqual({
      millrace: "call",
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      payload: { text: "héllo 猫 🎬" },
      time: expect.stringMatching(/^20.*Z$/),
    });
    expect((await at("resize-x").invoke(1)) as { id: string }).not.toMatchObject({
      id: (envelope as { id: string }).id,
    });
    await close();
  });

  it("throws what the function threw, and tells of a function that is not there", async () => {
    const { at, close, world } = await calling((event) => {
      const { payload } = JSON.parse(event.toString()) as { readonly payload: string };
      if (payload === "refuse") throw toThrown({ kind: "bad-input", message: "no width" });
      throw new Error(payload);
    });
    const resize = at("resize-x");
    await expect(resize.invoke("refuse")).rejects.toMatchObject({ kind: "bad-input", message: "no width" });
    await expect(resize.invoke("it broke")).rejects.toMatchObject({ kind: "failed", message: "it broke" });
    await expect(resize.invoke("Function timed out after 60 seconds")).rejects.toMatchObject({ kind: "timed-out" });
    await expect(at("nobody").invoke(1)).rejects.toMatchObject({ kind: "not-found", message: /FunctionNotFound/ });
    const stranger = at("resize-x", { ...world, credentials: () => ({ ...KEYS, accessKeySecret: "another" }) });
    await expect(stranger.invoke(1)).rejects.toMatchObject({ kind: "refused", message: /SignatureNotMatch/ });
    await close();
  });

  it("brings back what comes late and what is large", async () => {
    const { at, close } = await calling(async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      return "中".repeat(1_000_000);
    });
    expect(await at("resize-x").invoke(1)).toHaveLength(1_000_000);
    await close();
  });
});

describe("the log of a run in Log Service", () => {
  const submitted = Date.UTC(2026, 0, 1);
  let subject: Awaited<ReturnType<typeof sls>>;
  beforeEach(async () => {
    subject = await sls();
    return () => subject.close();
  });

  async function sls() {
    const fake = new FakeSls("functions");
    const { endpoint: logsEndpoint, ...around_ } = await around(fake.server);
    const address = {
      kind: "task",
      part: "etl-task",
      logs: "project/functions",
      region: "cn-hangzhou",
      logsEndpoint,
    } as const;
    const print = (run: string, number: number, time: number, task = "etl-task") =>
      fake.collect(
        `${task}-work`,
        JSON.stringify({
          time: new Date(time).toISOString(),
          level: "info",
          message: `${number}`,
          run,
          task,
          attempt: 1,
        }),
        time,
      );
    return { ...around_, fake, address, print, logs: storeLogs(address, around_.world) };
  }

  /** All of it, a few lines at a time. */
  async function readAll(run: string, limit: number): Promise<readonly number[]> {
    const found: number[] = [];
    for (let after = 0; ; ) {
      const lines = await subject.logs.read("etl-task", run, { after, limit, since: submitted });
      found.push(...lines.map(({ message }) => Number(message)));
      if (lines.length < limit) return found;
      after = lines.at(-1)!.sequence;
    }
  }

  it("comes whole and in order, over pages, minutes and lines of the same millisecond", async () => {
    const { print, fake } = subject;
    const count = 450;
    for (let n = 0; n < count; n += 1) print("a", n, submitted + Math.floor(n / 3) * 1500);
    print("another", -1, submitted);
    print("a", -2, submitted, "etl-task-2");
    fake.collect("etl-task-work", "FC Invoke Start RequestId: a etl-task", submitted);
    const all = Array.from({ length: count }, (_, n) => n);
    for (const limit of [500, 100, 7]) expect(await readAll("a", limit)).toEqual(all);
  });

  it("is asked for no further than what is read", async () => {
    const { print, fake, logs } = subject;
    for (let n = 0; n < 1000; n += 1) print("a", n, submitted + n * 2000);
    fake.incomplete = 0;
    expect(await logs.read("etl-task", "a", { after: 0, limit: 10, since: submitted })).toHaveLength(10);
    expect(fake.server.requests.length).toBeLessThanOrEqual(3);
  });

  it("is found by any id", async () => {
    const { print } = subject;
    const ids = [
      'say "hi" and or not',
      "back\\slash",
      "100%",
      "*",
      "视频/猫 🎬.mp4",
      "a+b?c=d&e#f",
      "x".repeat(200),
      Array.from({ length: 66 }, (_, n) => n).join(" "),
    ];
    for (const [n, id] of ids.entries()) print(id, n, submitted);
    for (const [n, id] of ids.entries()) expect(await readAll(id, 5)).toEqual([n]);
  });

  it("is asked for until the service has looked everywhere, and not for ever", async () => {
    const { print, fake } = subject;
    print("a", 1, submitted);
    fake.incomplete = 2;
    expect(await readAll("a", 5)).toEqual([1]);
    fake.incomplete = 1000;
    const clock = { now: () => fake.server.now(), at: (_: number, callback: () => void) => timer(0, callback) };
    const impatient = storeLogs(subject.address, { ...subject.world, clock });
    await expect(impatient.read("etl-task", "a", { after: 0, limit: 5 })).rejects.toMatchObject({
      kind: "unavailable",
    });
  });

  it("says why it cannot be read", async () => {
    const { address, world } = subject;
    const stranger = storeLogs(address, { ...world, credentials: () => ({ ...KEYS, accessKeySecret: "another" }) });
    await expect(stranger.read("etl-task", "a", { after: 0, limit: 5 })).rejects.toMatchObject({
      kind: "refused",
      message: /SignatureNotMatch/,
    });
    const elsewhere = storeLogs({ ...address, logs: "project/none" }, world);
    await expect(elsewhere.read("etl-task", "a", { after: 0, limit: 5 })).rejects.toMatchObject({
      kind: "not-found",
      message: /LogStoreNotExist/,
    });
  });

  it("is signed as the vendor's client signs", () => {
    const query = {
      type: "log",
      query: '"a+b" and "视频 %"',
      from: "1",
      to: "2",
      line: "100",
      offset: "0",
      reverse: "false",
    };
    const sign = signSls(() => ({ accessKeyId: "id", accessKeySecret: "secret", securityToken: "t" }));
    const request = { method: "GET", origin: "", path: "/logstores/functions", query, headers: {} } as const;
    // What @alicloud/log 1.2.6 makes of the same request.
    expect(sign(request, new Date(0)).authorization).toBe("LOG id:2Rq8Z3kYi6UR3e5pn7WKO77YaAE=");
  });
});

function* chunked(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += 1_000_003) yield bytes.subarray(from, from + 1_000_003);
}
