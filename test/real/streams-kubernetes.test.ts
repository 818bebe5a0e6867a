import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { StreamSource } from "../../lib/clouds/kubernetes/runtime/function-json.ts";
import type { SourceEvent } from "../../lib/runtime/events.ts";
import { KafkaWorld } from "./kafka-world.ts";
import { begun, done, FunctionsWorld, firstOf, until } from "./kubernetes/functions.ts";

const USER = { username: "ann", password: "s3cret" };

let world: FunctionsWorld;
let kafka: KafkaWorld;
let folder: string;
beforeAll(async () => {
  [world, kafka] = await Promise.all([FunctionsWorld.start(), KafkaWorld.start({ users: [USER] })]);
  folder = await mkdtemp(join(tmpdir(), "millrace-streams-"));
}, 120_000);
afterEach(() => world.killAll());
afterAll(async () => {
  await Promise.all([world?.stop(), kafka?.stop()]);
  await rm(folder, { recursive: true, force: true });
});

/** What a deployment would write of a new topic. */
async function source(partitions: number, more: Partial<StreamSource> = {}): Promise<StreamSource> {
  const topic = await kafka.topic(partitions);
  const { broker: brokers } = kafka.server;
  const bounds = { batch: 3, window: 0.2, from: "earliest" } as const;
  return { ...{ stream: "orders", topic, brokers, tls: "false", group: `${topic}-readers` }, ...bounds, ...more };
}

/** The records' texts, by what the function has said of them. */
const textsIn = (events: readonly SourceEvent[]): readonly string[] =>
  events.flatMap((event) =>
    event.type === "stream.consumed"
      ? event.records.map(({ value }) => Buffer.from(Object.values(value ?? {})).toString())
      : [],
  );

const send = (topic: string, values: readonly string[], partition = 0) =>
  kafka.stream(topic).send(values.map((value) => ({ value, partition })));

test("records come in batches, in order in each partition, and where the group was is known to the next pod", async () => {
  const orders = await source(2);
  const { start, hears } = await world.function({ streams: [orders] });
  await send(orders.topic, ["a1", "a2", "a3", "a4"]);
  await send(orders.topic, ["b1"], 1);
  const first = start();
  const all = done(await hears((all) => textsIn(done(all)).length === 5));
  const inOrder = (partition: string) => textsIn(all).filter((text) => text.startsWith(partition));
  expect([inOrder("a"), inOrder("b")]).toEqual([["a1", "a2", "a3", "a4"], ["b1"]]);
  for (const event of all) {
    if (event.type !== "stream.consumed") throw new Error(event.type);
    expect(event.records.length).toBeLessThanOrEqual(3);
    const { partition, offset } = event.records[0]!;
    expect(event).toMatchObject({ stream: "orders", id: `orders-${partition}-${offset}` });
  }
  first.kill("SIGTERM");
  expect(await world.ended(first)).toBe(0);
  await send(orders.topic, ["a5"]);
  start();
  const later = textsIn(done(await hears((all) => textsIn(done(all)).length === 6)));
  expect(later.at(-1)).toBe("a5");
}, 60_000);

test("a pod that is asked to end does what it has begun; one that is killed has its batch done by another", async () => {
  const orders = await source(1, { batch: 1 });
  const { start, hears } = await world.function({ streams: [orders] });
  const asked = start();
  await send(orders.topic, ["sleep 1", "next"]);
  await hears((all) => textsIn(begun(all)).includes("sleep 1"));
  asked.kill("SIGTERM");
  expect(await world.ended(asked)).toBe(0);
  const killed = start();
  await hears((all) => textsIn(done(all)).includes("next"));
  await send(orders.topic, ["sleep 2", "last"]);
  await hears((all) => textsIn(begun(all)).includes("sleep 2"));
  await world.kill(killed);
  start();
  // Others take over when the group has not heard of it for half a minute.
  const heard = await retried(() => hears((all) => textsIn(done(all)).includes("last")));
  expect(textsIn(done(heard))).toEqual(["sleep 1", "next", "sleep 2", "last"]);
  expect(textsIn(begun(heard)).filter((text) => text === "sleep 1")).toHaveLength(1);
  expect(textsIn(begun(heard)).filter((text) => text === "sleep 2")).toHaveLength(2);
}, 120_000);

/** It is waited for longer than the world usually does. */
async function retried<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch {
    return work();
  }
}

test("what fails as often as it may is one message of failures, and what is behind it goes on", async () => {
  const orders = await source(1, { batch: 2 });
  const { start, hears, failures } = await world.function({ streams: [orders], attempts: 2 });
  await send(orders.topic, ["fail", "with it"]);
  await send(orders.topic, ["behind"]);
  start();
  const heard = await hears((all) => textsIn(done(all)).includes("behind"));
  expect(textsIn(begun(heard)).filter((text) => text === "fail")).toHaveLength(2);
  const message = JSON.parse((await firstOf(failures)).body);
  expect(message).toMatchObject({
    attempts: 2,
    error: { kind: "failed", message: "it failed" },
    event: {
      ...{ type: "stream.consumed", stream: "orders", id: "orders-0-0" },
      records: [
        { partition: 0, offset: 0, value: Buffer.from("fail").toString("base64") },
        { partition: 0, offset: 1, value: Buffer.from("with it").toString("base64") },
      ],
    },
  });
  // What can never work is not tried again; what is too large for a message still lies in the stream.
  await send(orders.topic, ["refuse", "x".repeat(900_000)]);
  await until(async () => (await firstOf(failures)).body.includes('"ranges":[{"partition":0,"first":3,"last":4}]'));
}, 60_000);

test("where there is no queue for failures, they are tried until they succeed, and told to whoever counts", async () => {
  const orders = await source(1, { batch: 1 });
  const { start, hears, spec } = await world.function({ streams: [orders], attempts: 2, failed: "ports.failed.one" });
  const { failures: _, ...rest } = spec;
  const nats = await world.around.nats();
  const told: string[] = [];
  nats.subscribe("ports.failed.one", { callback: (_, message) => void told.push(message.string()) });
  await send(orders.topic, ["fail"]);
  start({ MILLRACE_FUNCTION: JSON.stringify(rest) });
  const heard = await hears((all) => begun(all).length === 4);
  expect(textsIn(begun(heard))).toEqual(["fail", "fail", "fail", "fail"]);
  await until(() => told.length >= 2);
  expect(told[0]).toBe('{"id":"orders-0-0"}');
}, 60_000);

test("a Kafka that asks for it is told who connects, as the Secret's file says", async () => {
  const path = join(folder, "value");
  await writeFile(path, JSON.stringify(USER));
  const user = { secret: "events-user", path };
  const orders = await source(1, { user, brokers: kafka.server.guarded, mechanism: "scram-sha-256" });
  const { start, hears } = await world.function({ streams: [orders] });
  await send(orders.topic, ["told"]);
  start();
  await hears((all) => textsIn(done(all)).includes("told"));

  await writeFile(path, JSON.stringify({ ...USER, password: "wrong" }));
  const stranger = start();
  expect(await world.ended(stranger)).not.toBe(0);
  expect(stranger.log).not.toContain("wrong");
}, 60_000);
