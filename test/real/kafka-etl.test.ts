import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalSession, startDev } from "../../lib/clouds/local/dev.ts";
import type { StreamRecord } from "../../lib/runtime/events.ts";
import { KafkaWorld } from "./kafka-world.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const program = fileURLToPath(new URL("../local/programs/etl-stack.ts", import.meta.url));

let kafka: KafkaWorld;
let home: string;
let session: LocalSession;
beforeAll(async () => {
  kafka = await KafkaWorld.start();
  home = await mkdtemp(join(tmpdir(), "millrace-kafka-etl-"));
  const folder = join(home, "cloud");
  session = await startDev({ program, project, folder, watch: false, kafka: kafka.server.broker, onEvent() {} });
}, 120_000);
afterAll(async () => {
  await session.close();
  await kafka.stop();
  await rm(home, { recursive: true, force: true });
});

const COUNT = 3000;
const poison = Array.from({ length: COUNT / 10 }, (_, index) => index * 10 + 7);
const good = Array.from({ length: COUNT }, (_, n) => n).filter((n) => n % 10 !== 7);

const numberOf = (text: string): number => (JSON.parse(text) as { readonly n: number }).n;
const numbersOf = (records: readonly StreamRecord[]) =>
  records.map(({ value }) => numberOf(Buffer.from(value!).toString()));
const inOrder = (numbers: readonly number[]) => numbers.toSorted((one, other) => one - other);

test("a real broker: functions that are killed and a broker that restarts; every record once, and every poison one", async () => {
  const { host } = session;
  for (const name of ["streamed-consume", "stored-consume"]) {
    host.faults.add({ at: "function.end", part: name, times: 4, rate: 0.4, kill: true });
  }
  for (const when of ["before", "after"] as const) {
    host.faults.add({ at: "stream.commit", part: "things-orders", times: 4, rate: 0.5, when, kill: true });
    host.faults.add({ at: "bucket.put", part: "things-bucket", times: 2, rate: 0.5, when, kill: true });
  }
  for (let at = 0; at < COUNT; at += 300) {
    const some = Array.from({ length: 300 }, (_, index) => at + index);
    await kafka.stream("things-orders").send(some.map((n) => ({ value: JSON.stringify({ n }), key: `k${n % 9}` })));
    await pause(200);
    if (at === 1500) await kafka.server.restart();
  }
  const waiting = async () => {
    const lags = await host.streams.lag("things-orders");
    return lags.filter(({ group }) => !group.startsWith("queued")).reduce((sum, { lag }) => sum + lag, 0);
  };
  await expect.poll(waiting, { timeout: 120_000, interval: 200 }).toBe(0);

  const streamed = await kafka.read("things-stream");
  expect(inOrder(numbersOf(streamed))).toEqual(good);
  // Those of a key lie in a partition, in the order in which they were sent.
  for (let key = 0; key < 9; key += 1) {
    const ofKey = numbersOf(streamed.filter((one) => Buffer.from(one.key!).toString() === `k${key}`));
    expect(ofKey).toEqual(good.filter((n) => n % 9 === key));
  }
  expect(inOrder(numbersOf(await kafka.read("things-dead")))).toEqual(poison);

  const reader = host.buckets.reader("things-bucket");
  const { objects } = await reader.list();
  const texts = await Promise.all(
    objects.map(async ({ key }) => gunzipSync(await buffer(await reader.stream(key))).toString()),
  );
  expect(inOrder(texts.flatMap((text) => text.split("\n").slice(0, -1)).map(numberOf))).toEqual(good);
}, 240_000);
