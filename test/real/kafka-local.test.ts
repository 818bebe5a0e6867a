import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalSession, startDev } from "../../lib/clouds/local/dev.ts";
import type { FailedRecords } from "../../lib/clouds/local/host/consumer.ts";
import { FAILURES, numberOf, ORDERS, order, orders, RESULTS, STREAMS, textOf } from "../local/streams.ts";
import { KafkaWorld } from "./kafka-world.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));

let kafka: KafkaWorld;
let home: string;
const sessions: LocalSession[] = [];
beforeAll(async () => {
  process.env.STREAMS_TEST_BATCH = "1";
  kafka = await KafkaWorld.start();
  home = await mkdtemp(join(tmpdir(), "millrace-kafka-local-"));
});
afterAll(async () => {
  for (const session of sessions) await session.close();
  await kafka.stop();
  await rm(home, { recursive: true, force: true });
});

async function start(): Promise<LocalSession> {
  const session = await startDev({
    program: STREAMS,
    project,
    folder: join(home, "cloud"),
    watch: false,
    kafka: kafka.server.broker,
    onEvent() {},
  });
  sessions.push(session);
  return session;
}

const settled = { timeout: 60_000, interval: 100 };
const numbers = (count: number): readonly number[] => [...Array(count).keys()];
const ascending = (one: number, other: number): number => one - other;

test("a program's streams lie in the broker: made, consumed, claimed, sent to, and looked into", async () => {
  const { host, close } = await start();
  const lags = async () => (await host.streams.lag(ORDERS)).map(({ group, lag }) => `${group} ${lag}`);
  const results = async () => (await kafka.read(RESULTS)).map(textOf).map(Number).sort(ascending);
  const info = await host.streams.list();
  expect(info.map(({ stream, partitions }) => `${stream} ${partitions.length}`)).toEqual([
    `${ORDERS} 4`,
    `${RESULTS} 2`,
  ]);
  const places = await host.streams.append(ORDERS, orders(0, 30));
  const stored = await kafka.read(ORDERS);
  expect(stored.map(numberOf).sort(ascending)).toEqual(numbers(30));
  for (const [number, { partition, offset }] of places.entries()) {
    const record = stored.find((one) => one.partition === partition && one.offset === offset);
    expect(numberOf(record!)).toBe(number);
  }
  // Claims are transactions of the broker: each once, to whoever reads what is committed.
  await expect.poll(results, settled).toEqual(numbers(30));
  await expect.poll(lags, settled).toEqual(["shop-count 0", "shop-tally 0", "shop-tally-done 0"]);
  const page = await host.streams.read(ORDERS, { partition: places[0]!.partition, limit: 1 });
  expect(page.records).toHaveLength(1);

  // Who sends otherwise is heard just so; what fails every attempt is set aside, and the rest goes on.
  await kafka.stream(ORDERS).send([order(30), order(31, { fails: "always" }), order(32)]);
  await expect.poll(() => host.queues.stats(FAILURES).ready, settled).toBe(1);
  const [failure] = host.queues.peek(FAILURES, 1);
  const { event, attempts } = JSON.parse(failure!.body) as FailedRecords;
  expect({ stream: event.stream, attempts }).toEqual({ stream: ORDERS, attempts: 3 });
  await expect.poll(results, settled).toEqual(numbers(33));
  await close();

  // The journal keeps nothing of it: the next start goes on where the groups are.
  await kafka.stream(ORDERS).send([order(33)]);
  const next = await start();
  await expect.poll(results, settled).toEqual(numbers(34));
  expect(next.host.queues.stats(FAILURES).ready).toBe(1);
});
