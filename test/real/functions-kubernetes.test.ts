import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { port as bucketPort } from "../../lib/clouds/kubernetes/runtime/bucket.ts";
import { port as functionPort } from "../../lib/clouds/kubernetes/runtime/function.ts";
import { findCreated } from "../../lib/clouds/kubernetes/runtime/listing.ts";
import type { BucketCreated, SourceEvent } from "../../lib/runtime/events.ts";
import { begun, done, FunctionsWorld, firstOf, until, VISIBILITY } from "./kubernetes/functions.ts";

let world: FunctionsWorld;
beforeAll(async () => {
  world = await FunctionsWorld.start();
});
afterEach(() => world.killAll());
afterAll(() => world.stop());

describe("calls", () => {
  it("are answered, with what the function threw as what it is", async () => {
    const { spec, start, invoke } = await world.function({ concurrency: 3 });
    start();
    expect(await invoke("héllo 猫")).toEqual({ text: "héllo 猫" });
    const { subject } = spec;
    const linked = functionPort({ kind: "function", part: "probe", subject, timeout: "20" }, world.around.world);
    expect(await linked.invoke("linked")).toEqual({ text: "linked" });
    await expect(invoke("fail")).rejects.toMatchObject({ name: "MillraceError", kind: "failed", message: "it failed" });
    await expect(invoke("refuse")).rejects.toMatchObject({ kind: "bad-input", message: "it can never work" });
    await expect(invoke("large")).rejects.toMatchObject({ kind: "refused", message: /10485\d\d bytes .* 1048576/ });
    expect(await Promise.all(["a", "b", "c"].map((text) => invoke(text)))).toEqual([
      { text: "a" },
      { text: "b" },
      { text: "c" },
    ]);
  });

  it("that nobody answers in time are unavailable, and left out when nobody waits any more", async () => {
    const { start, invoke, call, hears, pending } = await world.function();
    await expect(invoke("too late", 0.3)).rejects.toMatchObject({ kind: "unavailable" });
    await call("in time");
    start();
    const all = await hears((all) => done(all).length === 1);
    expect(begun(all)).toMatchObject([{ payload: "in time" }]);
    await until(async () => (await pending()) === 0);
  });

  it("that fail come again, and in the end to the failure queue; what can never work at once", async () => {
    const { start, call, hears, failures, pending } = await world.function({ attempts: 3 });
    start();
    await call("fail");
    const all = await hears((all) => begun(all).length === 3);
    expect(all.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(new Set(begun(all).map(({ id }) => id)).size).toBe(1);
    await until(async () => (await pending()) === 0);
    await call("refuse");
    await until(async () => (await pending()) === 0);
    const set = await failures.receive();
    expect(set.map(({ body }) => JSON.parse(body) as unknown)).toMatchObject([
      {
        event: { type: "function.invoked", payload: "fail" },
        error: { kind: "failed", message: "it failed" },
        attempts: 3,
      },
      { event: { payload: "refuse" }, error: { kind: "bad-input" }, attempts: 1 },
    ]);
  });

  it("come again after a kill -9 in their midst, and are not begun for ever", async () => {
    const { start, call, hears, failures } = await world.function({ attempts: 2 });
    const first = start();
    await call("sleep 3");
    await hears((all) => begun(all).length === 1);
    await world.kill(first);
    const second = start();
    const again = await hears((all) => done(all).length === 1);
    expect(again.map(({ attempt }) => attempt)).toEqual([1, 2, 2]);
    expect(new Set(begun(again).map(({ id }) => id)).size).toBe(1);

    await call("sleep 4");
    await hears((all) => begun(all).length === 3);
    await world.kill(second);
    const third = start();
    await hears((all) => begun(all).length === 4);
    await world.kill(third);
    start();
    const set = await firstOf(failures);
    expect(JSON.parse(set.body)).toMatchObject({ event: { payload: "sleep 4" }, error: { kind: "interrupted" } });
  });

  it("that take long are nobody else's meanwhile", async () => {
    const { start, call, hears, pending } = await world.function({ attempts: 9 });
    for (const child of [start(), start()]) expect(child.pid).toBeDefined();
    await call(`sleep ${VISIBILITY * 2}`);
    const all = await hears((all) => done(all).length === 1);
    await until(async () => (await pending()) === 0);
    expect(all.map(({ attempt }) => attempt)).toEqual([1, 1]);
  });

  it("that run are finished at SIGTERM; the others are somebody else's at once", async () => {
    const { start, call, hears, heard } = await world.function();
    const first = start();
    await call("sleep 1.5");
    await call("next");
    await hears((all) => begun(all).length === 1);
    first.kill("SIGTERM");
    const second = start();
    expect(await world.ended(first)).toBe(0);
    const all = await hears((all) => done(all).length === 2);
    expect(all.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
    const worker = (text: string) =>
      heard.find(({ done }) => done && "payload" in done && done.payload === text)?.process;
    expect([worker("sleep 1.5"), worker("next")]).toEqual([first.pid, second.pid]);
  });
});

describe("sources", () => {
  it("give messages of a queue in batches: those that fail come again alone, and go to the dead letters", async () => {
    const { address: dead, queue: deadLetters } = await world.around.queue();
    const { address, queue } = await world.around.queue();
    const { stream, consumer } = address;
    const source = { queue: "work", stream, consumer, attempts: 2, deadLetters: dead.subject, batch: 3, window: 1 };
    const { start, hears } = await world.function({ queues: [source] });
    const ids = [
      await queue.send("fine", { attributes: { colour: "blue" } }),
      await queue.send("fail"),
      await queue.send("refuse"),
    ];
    start();
    const all = await hears((all) => begun(all).length === 4);
    expect(begun(all).slice(0, 3)).toMatchObject([
      { type: "queue.received", id: ids[0], queue: "work", body: "fine", attributes: { colour: "blue" }, receives: 1 },
      { id: ids[1], body: "fail", receives: 1 },
      { id: ids[2], body: "refuse", receives: 1 },
    ]);
    expect(begun(all)[3]).toMatchObject({ id: ids[1], body: "fail", receives: 2 });
    const buried = [await firstOf(deadLetters), await firstOf(deadLetters)];
    expect(buried.map(({ id }) => id).sort()).toEqual([ids[1], ids[2]].sort());
    const manager = await jetstreamManager(await world.around.nats());
    await until(async () => (await manager.streams.info(stream)).state.messages === 0);
  });

  it("lose no message of a queue when the process is killed, again and again", async () => {
    const { address, queue } = await world.around.queue({ visibility: VISIBILITY });
    const { stream, consumer } = address;
    const { start, hears, heard } = await world.function({
      queues: [{ queue: "work", stream, consumer, batch: 5, window: 0 }],
    });
    const ids = await Promise.all(Array.from({ length: 40 }, () => queue.send("sleep 0.02")));
    for (let kill = 1; kill <= 3; kill += 1) {
      const child = start();
      await hears((all) => all.filter(({ process }) => process === child.pid).length >= 5);
      await world.kill(child);
    }
    start();
    const missing = () => ids.filter((id) => !done(heard).some((event) => event.id === id));
    await hears(() => missing().length === 0);
    const manager = await jetstreamManager(await world.around.nats());
    await until(async () => (await manager.streams.info(stream)).state.messages === 0);
  });

  it("fire schedules once for each time, whatever pods are tried again", async () => {
    const { spec, start, hears, pending } = await world.function();
    const publishing = {
      MILLRACE_PUBLISH: JSON.stringify({ subject: spec.subject, schedule: "nightly" }),
      MILLRACE_JOB: "nightly-x-29000000",
    };
    await world.program("publish", publishing);
    await world.program("publish", publishing);
    start();
    const all = await hears((all) => done(all).length === 1);
    await until(async () => (await pending()) === 0);
    const time = new Date(29_000_000 * 60_000).toISOString();
    expect(begun(all)).toEqual([{ type: "schedule.fired", id: `nightly/${time}`, schedule: "nightly", time }]);
  });
});

describe("buckets", () => {
  const KEYS = ["in/a b+c%20d#é猫?x=1.txt", "in/100%25.txt", "in/a+b.txt", "in/plain.txt"];

  async function makeBucket() {
    const { s3, around } = world;
    const bucket = around.fresh("bucket");
    const { accessKeyId, secretAccessKey } = s3.credentials;
    const credentials = async () => ({ accessKeyId, secretAccessKey });
    const client = new S3Client({
      region: s3.region,
      endpoint: s3.url,
      forcePathStyle: true,
      credentials: s3.credentials,
    });
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    client.destroy();
    const place = { region: s3.region, endpoint: s3.url };
    const port = bucketPort({ kind: "bucket", part: "media", bucket, ...place }, { ...around.world, credentials });
    return { port, source: { bucket: "media", physical: bucket, prefix: "in/", suffix: ".txt", ...place } };
  }

  const keysOf = (events: readonly SourceEvent[]) => events.map((event) => ("key" in event ? event.key : "")).sort();

  it("tell of new objects by the store's own notifications", async () => {
    const { port, source } = await makeBucket();
    const consumer = world.around.fresh("notices");
    const from = { stream: "ports-notices", consumer };
    const { start, hears } = await world.function(
      { buckets: [{ ...source, how: "notifications", ...from }] },
      {
        streams: [{ name: from.stream, subjects: ["store.events"], retention: "interest" }],
        consumers: [{ stream: from.stream, name: consumer, subject: "store.events", visibility: 30 }],
      },
    );
    start();
    for (const key of ["out/other.txt", "in/other.jpg", ...KEYS]) await port.put(key, key);
    await port.remove("in/plain.txt");
    const all = await hears((all) => done(all).length === KEYS.length);
    expect(keysOf(done(all))).toEqual([...KEYS].sort());
    const { etag } = (await port.head("in/a+b.txt"))!;
    const event = done(all).find((event) => "key" in event && event.key === "in/a+b.txt");
    expect(event).toMatchObject({ type: "bucket.created", bucket: "media", etag, size: 10 });
  });

  it("tell of new and changed objects by a listing, where the store tells nobody; of those from now on", async () => {
    const { port, source } = await makeBucket();
    await port.put("in/there already.txt", "long before");
    await sleep(1100); // the store's times are whole seconds
    const journal = world.around.fresh("seen");
    const { spec, start, hears, heard, pending } = await world.function(
      { buckets: [{ ...source, how: "listing", journal }] },
      { tables: [journal] },
    );
    let minute = 29_000_000;
    const look = async () => {
      minute += 1;
      const publishing = JSON.stringify({ subject: spec.subject, listing: true });
      await world.program("publish", { MILLRACE_PUBLISH: publishing, MILLRACE_JOB: `listing-${minute}` });
    };
    start();
    for (const key of ["out/other.txt", "in/other.jpg", ...KEYS]) await port.put(key, key);
    await look();
    await hears((all) => done(all).length === KEYS.length);
    expect(keysOf(done(heard))).toEqual([...KEYS].sort());
    await sleep(1000); // the store's times are whole seconds
    await port.put("in/a+b.txt", "another");
    await look();
    await look();
    await hears((all) => done(all).length === KEYS.length + 1);
    await until(async () => (await pending()) === 0);
    expect(done(heard).at(-1)).toMatchObject({ key: "in/a+b.txt", size: 7 });
    expect(new Set(done(heard).map(({ id }) => id)).size).toBe(KEYS.length + 1);
  });

  it("tell again, by the same id, of what was told but not journaled", async () => {
    const { port, source } = await makeBucket();
    const journal = await world.around.table();
    const { advance: _, world: ports } = world.around;
    await port.put("in/a.txt", "a");
    await port.put("in/b.txt", "b");
    const told: string[] = [];
    const look = (tell: (event: BucketCreated) => Promise<void>, table: typeof journal = journal) =>
      findCreated({
        ...source,
        bucket: port,
        journal: table,
        since: 0,
        clock: ports.clock,
        signal: ports.signal,
        tell,
      });
    const killed = {
      get: journal.get.bind(journal),
      query: journal.query.bind(journal),
      remove: journal.remove.bind(journal),
    };
    const broken = {
      ...killed,
      put: (...args: Parameters<typeof journal.put>) =>
        args[1] === "in/a.txt" ? Promise.reject(new Error("killed")) : journal.put(...args),
    };
    const tell = async ({ id }: BucketCreated) => void told.push(id);
    await expect(look(tell, broken)).rejects.toThrow("killed");
    expect(await look(tell)).toBe(1);
    expect(told.filter((id) => id.includes("in/a.txt"))).toHaveLength(2);
    expect(new Set(told).size).toBe(2);
    expect(await look(tell)).toBe(0);
    // Two looks at once: one leaves it to the other.
    await port.put("in/c.txt", "c");
    const both = await Promise.all([look(tell), look(tell)]);
    expect(both).toContain(undefined);
    expect(both).toContain(1);
    // What is removed is forgotten, so that it is new when it comes again.
    await port.remove("in/c.txt");
    await look(tell);
    expect((await journal.query("media")).rows.map(({ sort }) => sort)).toEqual(["in/a.txt", "in/b.txt"]);
  });

  it("tell once of each, where a function has two sources in one bucket", async () => {
    const { port, source } = await makeBucket();
    const journal = await world.around.table();
    const { advance: _, world: ports } = world.around;
    const told: string[] = [];
    const tell = async ({ key }: BucketCreated) => void told.push(key);
    const look = (prefix: string) =>
      findCreated({ ...source, ...ports, prefix, bucket: port, journal, since: 0, tell });
    await port.put("in/a.txt", "a");
    await port.put("other/b.txt", "b");
    for (const prefix of ["in/", "other/", "in/", "other/"]) await look(prefix);
    expect(told).toEqual(["in/a.txt", "other/b.txt"]);
  });
});
