import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connectLocal, type LocalClient } from "../../../lib/clouds/local/client.ts";
import type { LocalChange } from "../../../lib/clouds/local/host/inspect.ts";
import { type LocalServer, serveLocal } from "../../../lib/clouds/local/host/server.ts";
import { PLAN, TestView } from "./view.ts";

let folder: string;
let view: TestView;
let server: LocalServer;
let client: LocalClient;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "millrace-server-"));
  view = new TestView(folder);
  server = await serveLocal({ view, folder });
  client = connectLocal({ folder });
});

afterEach(async () => {
  await server.close();
  view.close();
  rmSync(folder, { recursive: true });
});

/** A request with exactly these headers: fetch would not send a wrong Host. */
async function send(
  path: string,
  {
    method = "POST",
    headers = {},
    body = "{}",
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number | undefined; body: string; headers: NodeJS.Dict<string | string[]> }> {
  const outgoing = request(`${server.url}${path}`, {
    method,
    headers: { "content-type": "application/json", authorization: `Bearer ${server.token}`, ...headers },
  });
  outgoing.end(method === "GET" ? undefined : body);
  const [response] = await once(outgoing, "response");
  return {
    status: response.statusCode,
    headers: response.headers,
    body: Buffer.concat(await response.toArray()).toString(),
  };
}

const port = () => new URL(server.url).port;
const refusal = (text: string) => (JSON.parse(text) as { error: { kind: string; message: string } }).error;
const rejection = (kind: string, message: RegExp | string) => ({ kind, message: expect.stringMatching(message) });

describe("who may call", () => {
  test("the token's holder, from this machine", async () => {
    expect((await send("/api/plan")).status).toBe(200);
    expect((await send("/api/plan", { headers: { origin: server.url, host: `localhost:${port()}` } })).status).toBe(
      200,
    );
  });

  test.each<[string, Record<string, string>]>([
    ["no token", { authorization: "" }],
    ["another token", { authorization: `Bearer ${"x".repeat(43)}` }],
    ["a longer token", { authorization: "Bearer x y" }],
    ["another scheme", { authorization: "Basic eDp5" }],
  ])("not without it: %s", async (_name, headers) => {
    const { status, body } = await send("/api/plan", { headers });
    expect(status).toBe(401);
    expect(refusal(body)).toEqual(rejection("refused", "endpoint.json"));
  });

  test.each(["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1.evil.example"])(
    "no page of another origin: %s",
    async (origin) => {
      const { status, body, headers } = await send("/api/plan", { headers: { origin } });
      expect(status).toBe(403);
      expect(refusal(body).message).toContain(origin);
      expect(headers["access-control-allow-origin"]).toBeUndefined();
    },
  );

  test("no preflight is answered", async () => {
    expect((await send("/api/plan", { method: "OPTIONS", headers: { origin: "https://evil.example" } })).status).toBe(
      403,
    );
  });

  test.each(["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.nip.io", "0.0.0.0"])(
    "no name that was made to point here: %s",
    async (host) => {
      const { status, body } = await send("/api/plan", { headers: { host } });
      expect(status).toBe(403);
      expect(refusal(body).message).toContain(host);
    },
  );

  test("no form of a page: only JSON is a call", async () => {
    expect((await send("/api/tasks.submit", { headers: { "content-type": "text/plain" } })).status).toBe(415);
  });

  test("only the user can read where it answers, and it is gone when it is closed", async () => {
    const file = join(folder, "endpoint.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({ url: server.url, token: server.token, pid: process.pid });
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await server.close();
    expect(readdirSync(folder).filter((name) => name.startsWith("endpoint"))).toEqual([]);
  });

  test("another process's endpoint.json is left alone", async () => {
    const file = join(folder, "endpoint.json");
    writeFileSync(file, JSON.stringify({ url: "http://127.0.0.1:1", token: "theirs", pid: 1 }));
    await server.close();
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ token: "theirs" });
  });

  test("a port in use is said", async () => {
    const again = serveLocal({ view, folder, port: Number(port()) });
    await expect(again).rejects.toMatchObject(rejection("refused", `port ${port()} is in use`));
  });
});

describe("what is refused", () => {
  test.each<[string, string, string, number, string]>([
    ["an unknown call", "/api/nothing", "{}", 404, "no such call"],
    ["a call named like an object's own", "/api/constructor", "{}", 404, "no such call"],
    ["no JSON", "/api/plan", "{", 400, "no JSON"],
    ["a missing field", "/api/tasks.get", '{"task":"videos-transcode"}', 400, "request.id"],
    ["an unknown field", "/api/tasks.get", '{"task":"t","id":"i","more":1}', 400, "request.more"],
    ["a wrong unit", "/api/tasks.submit", '{"task":"t","payload":1,"options":{"delay":"1 week"}}', 400, "30 seconds"],
    ["an unknown status", "/api/tasks.list", '{"task":"t","filter":{"status":"done"}}', 400, "succeeded"],
    ["an unknown task", "/api/tasks.get", '{"task":"nobody","id":"i"}', 404, "nobody"],
    ["an unknown bucket", "/api/buckets.objects", '{"bucket":"nobody"}', 404, "nobody"],
    ["an unknown queue", "/api/queues.stats", '{"queue":"nobody"}', 404, "nobody"],
    ["an unknown stream", "/api/streams.produce", '{"stream":"nobody","records":[]}', 404, "nobody"],
    [
      "bytes that are none",
      "/api/streams.produce",
      '{"stream":"orders-events","records":[{"value":"?"}]}',
      400,
      "value",
    ],
    ["an unknown partition", "/api/streams.read", '{"stream":"orders-events","partition":3}', 400, "0 to 2, got 3"],
  ])("%s", async (_name, path, body, status, message) => {
    const answer = await send(path, { body });
    expect(answer.status).toBe(status);
    expect(refusal(answer.body).message).toContain(message);
    expect(refusal(answer.body)).not.toHaveProperty("stack");
  });

  test("a body that says it is huge, before it is sent", async () => {
    const socket = connect(Number(port()), "127.0.0.1");
    socket.write(
      `POST /api/tasks.submit HTTP/1.1\r\nHost: 127.0.0.1:${port()}\r\nAuthorization: Bearer ${server.token}\r\n` +
        "Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{",
    );
    const [answer] = await once(socket, "data");
    expect(String(answer)).toMatch(/^HTTP\/1\.1 413 .*larger than 32 MB/s);
    socket.destroy();
  });

  test("a body that turns out huge", async () => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${server.token}` };
    const chunk = "x".repeat(2 ** 20);
    const body = Readable.toWeb(Readable.from(Array(40).fill(chunk)));
    const response = await fetch(`${server.url}/api/tasks.submit`, {
      method: "POST",
      headers,
      body,
      duplex: "half",
    } as RequestInit);
    expect(response.status).toBe(413);
  });
});

describe("tasks", () => {
  test("are submitted, found and read", async () => {
    const run = await client.tasks.submit(
      "videos-transcode",
      { a: 1 },
      { id: "猫 a/b?c#..", tags: { k: "v" }, delay: "5 minutes" },
    );
    expect(run).toMatchObject({ id: "猫 a/b?c#..", status: "succeeded", tags: { k: "v" } });
    expect(await client.tasks.get("videos-transcode", run.id)).toMatchObject({ id: run.id });
    expect(await client.tasks.get("videos-transcode", "..")).toBeUndefined();
    expect(await client.tasks.audit("videos-transcode", run.id)).toMatchObject({
      payload: { a: 1 },
      result: { done: true },
    });
    expect((await client.tasks.submit("videos-transcode", 1, { id: run.id })).deduplicated).toBe(true);
    await client.tasks.submit("videos-transcode", undefined, { id: "b" });
    expect((await client.tasks.list("videos-transcode", { limit: 1 })).next).toBe("1");
    expect((await client.tasks.list("videos-transcode", { tags: { k: "v" } })).tasks).toHaveLength(1);
  });

  test("errors keep their kind", async () => {
    await client.tasks.submit("resize-task", 1, { id: "a" });
    await expect(client.tasks.retry("resize-task", "a")).rejects.toMatchObject(rejection("conflict", "succeeded"));
    await expect(client.tasks.stop("resize-task", "b")).rejects.toMatchObject(rejection("not-found", '"b"'));
    const logs = client.tasks.logs("resize-task", "b")[Symbol.asyncIterator]();
    await expect(logs.next()).rejects.toMatchObject(rejection("not-found", '"b"'));
  });

  test("a followed log goes on until the run is over", async () => {
    await client.tasks.submit("resize-task", { run: "on" }, { id: "a" });
    const lines: string[] = [];
    for await (const { message, sequence } of client.tasks.logs("resize-task", "a", { follow: true })) {
      lines.push(message);
      if (sequence === 1) view.tasks.log("resize-task", "a", "two\nlines 猫".repeat(20_000));
      if (sequence === 2) view.tasks.end("resize-task", "a", { status: "succeeded" });
    }
    expect(lines).toEqual(["by client", "two\nlines 猫".repeat(20_000)]);
  });

  test("a wait tells of progress, then of the end", async () => {
    await client.tasks.submit("resize-task", { run: "on" }, { id: "a" });
    const seen: number[] = [];
    const run = await client.tasks.wait("resize-task", "a", {
      onProgress: ({ progress }) => {
        seen.push(progress);
        view.tasks.end("resize-task", "a", progress < 0.5 ? { progress: progress + 0.25 } : { status: "stopped" });
      },
    });
    expect(run.status).toBe("stopped");
    expect(seen).toEqual([0, 0.25, 0.5]);
  });

  test("a reader that goes away is forgotten", async () => {
    await client.tasks.submit("resize-task", { run: "on" }, { id: "a" });
    const before = view.listeners();
    const stop = new AbortController();
    const changes = client.changes(stop.signal)[Symbol.asyncIterator]();
    const first = changes.next();
    await expect.poll(() => view.listeners()).toBe(before + 1);
    view.tasks.end("resize-task", "a", { progress: 0.5 });
    expect((await first).value).toMatchObject({ type: "task.changed", task: { progress: 0.5 } });
    stop.abort();
    await expect(changes.next()).rejects.toThrow("aborted");
    await expect.poll(() => view.listeners()).toBe(before);
  });

  test("bulk verbs count, tell of progress, and act", async () => {
    for (const id of ["a1", "a2", "b1"]) await client.tasks.submit("resize-task", { run: "on" }, { id });
    const progress: number[] = [];
    const onProgress = ({ done }: { done: number }) => progress.push(done);
    const dry = await client.tasks.stopAll("resize-task", { prefix: "a" }, { dryRun: true, onProgress });
    expect(dry).toEqual({ matched: 2, changed: 0, failed: [] });
    expect(progress).toEqual([1, 2]);
    expect(await client.tasks.stopAll("resize-task", { prefix: "a" })).toEqual({ matched: 2, changed: 2, failed: [] });
    expect(await client.tasks.retryAll("resize-task", { status: "stopped" })).toMatchObject({ changed: 2 });
  });
});

describe("when it is closed", () => {
  test("open streams end and say why", async () => {
    await client.tasks.submit("resize-task", { run: "on" }, { id: "a" });
    const lines = client.tasks.logs("resize-task", "a", { follow: true })[Symbol.asyncIterator]();
    await lines.next();
    const changes = client.changes()[Symbol.asyncIterator]();
    const change = changes.next();
    const wait = client.tasks.wait("resize-task", "a");
    const ends = [lines.next(), change, wait].map((end) =>
      expect(end).rejects.toMatchObject(rejection("unavailable", "was stopped")),
    );
    await expect.poll(() => view.listeners()).toBe(2);
    await server.close();
    await Promise.all(ends);
  });

  test("nobody is there, in words, until it is started again", async () => {
    await server.close();
    const words = `no local cloud runs in ${folder}; start it with: millrace dev`;
    await expect(client.plan()).rejects.toMatchObject({ kind: "unavailable", message: words });
    writeFileSync(join(folder, "endpoint.json"), JSON.stringify({ url: server.url, token: server.token, pid: 1 }));
    await expect(client.plan()).rejects.toMatchObject({ kind: "unavailable", message: words });
    server = await serveLocal({ view, folder });
    expect(await client.plan()).toEqual(PLAN);
  });

  test("the plan stays known", async () => {
    await server.close();
    expect(JSON.parse(readFileSync(join(folder, "plan.json"), "utf8"))).toEqual(PLAN);
  });
});

describe("buckets", () => {
  const KEYS = ["a", "a/b", "a/../b", "..", "/", "x+y %2F?&#.mp4", "猫😀"];

  test("hold whatever key and content", async () => {
    const bucket = client.buckets.bucket("videos-uploads");
    for (const key of KEYS) {
      const info = await bucket.put(key, `content of ${key}`, { contentType: "text/plain", metadata: { 名: "ü" } });
      expect(await bucket.head(key)).toEqual(info);
      expect(String(await bucket.get(key))).toBe(`content of ${key}`);
    }
    expect((await bucket.list()).objects.map(({ key }) => key).sort()).toEqual([...KEYS].sort());
    expect(await bucket.head("nothing")).toBeUndefined();
    await bucket.remove("a");
    await expect(bucket.get("a")).rejects.toMatchObject(rejection("not-found", '"a"'));
    expect(await client.buckets.list()).toEqual(["videos-uploads", "videos-outputs"]);
  });

  test("move streams of any size, in parts too", async () => {
    const bucket = client.buckets.bucket("videos-uploads");
    const chunk = Buffer.alloc(2 ** 20, "0123456789");
    const { size } = await bucket.put("large", Readable.from(Array(48).fill(chunk)));
    expect(size).toBe(48 * 2 ** 20);
    let read = 0;
    for await (const part of await bucket.stream("large")) read += part.length;
    expect(read).toBe(size);
    expect(String(await bucket.get("large", { range: [8, 11] }))).toBe("8901");
    await bucket.put("empty", "");
    expect(await bucket.get("empty")).toHaveLength(0);
  });

  test("conditions hold", async () => {
    const bucket = client.buckets.bucket("videos-uploads");
    const { etag } = await bucket.put("a", "1", { ifNoneMatch: "*" });
    await expect(bucket.put("a", "2", { ifNoneMatch: "*" })).rejects.toMatchObject({ kind: "conflict" });
    await expect(bucket.get("a", { ifMatch: "another" })).rejects.toMatchObject({ kind: "conflict" });
    await bucket.put("a", "2", { ifMatch: etag });
    expect(String(await bucket.get("a"))).toBe("2");
  });

  test("an unknown bucket is said before the content is sent", async () => {
    const body = Readable.from(Array(64).fill(Buffer.alloc(2 ** 20)));
    await expect(client.buckets.bucket("nobody").put("a", body)).rejects.toMatchObject({ kind: "not-found" });
  });

  test("half an upload leaves nothing", async () => {
    const socket = connect(Number(port()), "127.0.0.1");
    socket.write(
      `PUT /api/object?bucket=videos-uploads&key=half HTTP/1.1\r\nHost: 127.0.0.1:${port()}\r\n` +
        `Authorization: Bearer ${server.token}\r\nContent-Length: 1000\r\n\r\nhalf`,
    );
    const staged = () => readdirSync(join(folder, "staging")).length;
    await expect.poll(staged).toBe(1);
    socket.destroy();
    await expect.poll(staged).toBe(0);
    expect(await client.buckets.bucket("videos-uploads").head("half")).toBeUndefined();
  });
});

test("streams take and show records, more than one request holds", async () => {
  const { streams } = client;
  const stream = "orders-events";
  const bytes = Buffer.from([0xff, 0, 0x80]);
  const large = Buffer.alloc(2_000_000, 7);
  const records = [
    { partition: 1, key: bytes, value: "ü", headers: { h: bytes, empty: "" }, timestamp: 5 },
    { partition: 1, key: "gone" },
    ...Array.from({ length: 4 }, () => ({ partition: 1, value: large })),
    { partition: 1, value: "" },
  ];
  const places = await streams.produce(stream, records);
  expect(places).toEqual(records.map((_, offset) => ({ partition: 1, offset })));
  const found = [];
  for (let from = 0; from < records.length; ) {
    const page = await streams.read(stream, { partition: 1, from });
    found.push(...page.records);
    from = page.next;
  }
  const empty = new Uint8Array();
  expect(found.slice(0, 2)).toStrictEqual([
    {
      ...{ partition: 1, offset: 0, timestamp: 5 },
      ...{ key: new Uint8Array(bytes), value: new Uint8Array(Buffer.from("ü")) },
      headers: { h: new Uint8Array(bytes), empty },
    },
    { partition: 1, offset: 1, timestamp: expect.any(Number), key: new Uint8Array(Buffer.from("gone")), headers: {} },
  ]);
  expect(found.slice(2, 6).every(({ value }) => large.equals(value!))).toBe(true);
  expect(found[6]).toMatchObject({ offset: 6, value: empty });

  const many = Array.from({ length: 25_000 }, (_, n) => ({ partition: 2, value: `${n}` }));
  expect(await streams.produce(stream, many)).toHaveLength(25_000);
  expect((await streams.list())[0]!.partitions[2]).toEqual({ partition: 2, first: 0, next: 25_000 });
  expect(await streams.produce(stream, [])).toEqual([]);
  expect(await streams.lag(stream)).toEqual([]);
});

test("queues take, show and give back messages", async () => {
  const { queues } = client;
  expect(await queues.stats("videos-failures")).toEqual({ ready: 0, inFlight: 0, delayed: 0 });
  await queues.send("videos-failures", "ü", { attributes: { a: "b" } });
  await queues.send("videos-failures", "2");
  expect(await queues.peek("videos-failures", 1)).toMatchObject([{ body: "ü", attributes: { a: "b" }, receives: 0 }]);
  expect(await queues.redrive("videos-failures", { limit: 1 })).toBe(1);
  expect(await queues.redrive("videos-failures", { to: "resize-failures" })).toBe(1);
  expect(await queues.stats("videos-jobs")).toMatchObject({ ready: 1, oldest: expect.any(String) });
});

test("a change of the plan is kept", async () => {
  const plan = { ...PLAN, stack: "other" };
  view.emit({ type: "plan.changed", plan } satisfies LocalChange);
  await expect.poll(() => JSON.parse(readFileSync(join(folder, "plan.json"), "utf8")).stack).toBe("other");
});

test("a connection that breaks after the answer, with the body half sent, breaks nothing else", async () => {
  const error = { kind: "unavailable", message: "the disk is full" };
  const refusing = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      const answer = JSON.stringify({ error });
      socket.write(`HTTP/1.1 507 Full\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`, () => {
        setTimeout(() => socket.resetAndDestroy(), 50);
      });
    });
  });
  await once(refusing.listen(0, "127.0.0.1"), "listening");
  const { port } = refusing.address() as AddressInfo;
  const away = connectLocal({ url: `http://127.0.0.1:${port}`, token: "none" });
  const put = away.buckets.bucket("a").put("b", Buffer.alloc(50_000_000));
  await expect(put).rejects.toMatchObject(error);
  await once(refusing.close(), "close");
});
