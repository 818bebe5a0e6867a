import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { LocalClient } from "../../lib/clouds/local/client.ts";
import type { DeadLetter } from "../../lib/handlers/etl/dead-letter.ts";
import { startLocal } from "../../lib/testing/index.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const program = fileURLToPath(new URL("./programs/etl-stack.ts", import.meta.url));

const bodies = async <Body>({ queues }: LocalClient, queue: string): Promise<readonly Body[]> =>
  (await queues.peek(queue, 1000)).map(({ body }) => JSON.parse(body) as Body);

const until = (holds: () => Promise<boolean>) => expect.poll(holds, { timeout: 30_000, interval: 50 }).toBe(true);

test("in Python: what fails or kills the worker is dead alone, several and none come of the others", async () => {
  await using cloud = await startLocal({ program, project });
  await cloud.streams.produce(
    "cleaned-source",
    Array.from({ length: 7 }, (_, n) => ({ value: JSON.stringify({ n }), partition: 0 })),
  );
  await until(async () => (await bodies(cloud, "cleaned-done")).length === 8);
  const numbers = (await bodies<{ readonly n: number }>(cloud, "cleaned-done")).map(({ n }) => n);
  expect(numbers.toSorted((one, other) => one - other)).toEqual([0, 1, 2, 3, 4, 5, 8, 9]);
  const letters = await bodies<DeadLetter>(cloud, "cleaned-dead-letters");
  expect(letters.map(({ record }) => record.offset).toSorted()).toEqual([3, 5]);
}, 60_000);

const COUNT = 1500;
const poison = Array.from({ length: COUNT / 10 }, (_, index) => index * 10 + 7);
const good = Array.from({ length: COUNT }, (_, n) => n).filter((n) => n % 10 !== 7);

/** All records of a stream. */
async function recordsIn({ streams }: LocalClient, stream: string) {
  const info = (await streams.list()).find((one) => one.stream === stream)!;
  const pages = info.partitions.map(({ partition }) => streams.read(stream, { partition, limit: 10_000 }));
  return (await Promise.all(pages)).flatMap(({ records }) => records);
}

const numbersOf = (texts: readonly string[]): readonly number[] =>
  texts.map((text) => (JSON.parse(text) as { readonly n: number }).n);
const inOrder = (numbers: readonly number[]) => numbers.toSorted((one, other) => one - other);

test("functions that are killed again and again: every record once, every poison one once", async () => {
  await using cloud = await startLocal({ program, project });
  const { streams, queues } = cloud;
  cloud.fault({ at: "stream.commit", part: "things-orders", times: 4, kill: true });
  cloud.fault({ at: "stream.commit", part: "things-orders", times: 4, when: "after", kill: true });
  cloud.fault({ at: "bucket.put", part: "things-bucket", times: 2, kill: true });
  cloud.fault({ at: "bucket.put", part: "things-bucket", times: 2, when: "after", kill: true });
  cloud.fault({ at: "queue.send", part: "things-queue", times: 2, rate: 0.1, when: "after", kill: true });
  for (let at = 0; at < COUNT; at += 250) {
    const some = Array.from({ length: 250 }, (_, index) => at + index);
    await streams.produce(
      "things-orders",
      some.map((n) => ({ value: JSON.stringify({ n }), key: `k${n % 9}` })),
    );
    await pause(100);
  }
  for (const group of (await streams.lag("things-orders")).map((one) => one.group)) {
    await until(async () => (await streams.lag("things-orders")).find((one) => one.group === group)!.lag === 0);
  }

  const texts = (await recordsIn(cloud, "things-stream")).map(({ value }) => Buffer.from(value!).toString());
  expect(inOrder(numbersOf(texts))).toEqual(good);
  const dead = await recordsIn(cloud, "things-dead");
  expect(inOrder(numbersOf(dead.map(({ value }) => Buffer.from(value!).toString())))).toEqual(poison);

  const bucket = cloud.buckets.bucket("things-bucket");
  const { objects } = await bucket.list();
  const lines = await Promise.all(objects.map(async ({ key }) => gunzipSync(await bucket.get(key)).toString()));
  expect(inOrder(numbersOf(lines.flatMap((text) => text.split("\n").slice(0, -1))))).toEqual(good);

  // What was under way when a function was killed may have come twice; the queue's first thousand tell no more.
  const { ready } = await queues.stats("things-queue");
  expect(ready).toBeGreaterThanOrEqual(good.length);
  expect(ready).toBeLessThanOrEqual(good.length + 10 * 16);
}, 90_000);
