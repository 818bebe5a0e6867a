import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { StreamRecord } from "../../lib/runtime/events.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { type ConsumeOptions, consume } from "../../lib/runtime/kafka/consumer.ts";
import type { NewRecord } from "../../lib/runtime/ports.ts";
import { KafkaWorld } from "./kafka-world.ts";

let kafka: KafkaWorld;
beforeAll(async () => {
  kafka = await KafkaWorld.start();
});
afterAll(() => kafka.stop());

const text = ({ value }: StreamRecord): string => Buffer.from(value ?? []).toString();
const numbers = (count: number, from = 0): readonly string[] =>
  Array.from({ length: count }, (_, index) => String(from + index));

/** Consumers that are ended after the test. */
const running: { end(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.end()));
});

function consumer(topic: string, options: Partial<ConsumeOptions> = {}) {
  const ending = new AbortController();
  const said: string[] = [];
  const say = (message: string) => void said.push(message);
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const batches: (readonly StreamRecord[])[] = [];
  const done = consume({
    connection: kafka.connection,
    topic,
    group: `${topic}-group`,
    batch: 100,
    window: 0.1,
    from: "earliest",
    signal: ending.signal,
    log,
    session: 6,
    handle: async (records) => void batches.push(records),
    ...options,
  });
  const end = async () => {
    ending.abort();
    await done;
  };
  running.push({ end });
  return { batches, said, end, done, records: () => batches.flat(), values: () => batches.flat().map(text) };
}

const send = (topic: string, records: readonly NewRecord[]) => kafka.stream(topic).send(records);
const settled = { timeout: 30_000, interval: 50 };
const lagOf = async (topic: string) => (await kafka.client(topic).lag(topic))[0]?.lag;

test("records come in order in each partition, in batches of one partition, and are committed", async () => {
  const topic = await kafka.topic(3);
  await send(
    topic,
    numbers(1000).map((value, index) => ({ partition: index % 3, value })),
  );
  const { batches, records } = consumer(topic);
  await expect.poll(() => records().length, settled).toBe(1000);
  for (const batch of batches) {
    expect(new Set(batch.map(({ partition }) => partition)).size).toBe(1);
    expect(batch.length).toBeLessThanOrEqual(100);
  }
  for (const partition of [0, 1, 2]) {
    const found = records().filter((record) => record.partition === partition);
    expect(found.map(text)).toEqual(numbers(1000).filter((_, index) => index % 3 === partition));
    expect(found.map(({ offset }) => offset)).toEqual(found.map((_, index) => index));
  }
  await expect.poll(() => lagOf(topic), settled).toBe(0);
});

test("a group goes on where it stopped, another one begins on its own, a latest one with what comes next", async () => {
  const topic = await kafka.topic(1);
  await send(topic, [{ value: "a" }, { value: "b" }]);
  const first = consumer(topic);
  await expect.poll(first.values, settled).toEqual(["a", "b"]);
  await first.end();
  const late = consumer(topic, { group: `${topic}-late`, from: "latest" });
  await expect.poll(() => kafka.client(topic).lag(topic), settled).toHaveLength(2);
  await send(topic, [{ value: "c" }]);
  const [again, other] = [consumer(topic), consumer(topic, { group: `${topic}-other` })];
  await expect.poll(again.values, settled).toEqual(["c"]);
  await expect.poll(other.values, settled).toEqual(["a", "b", "c"]);
  await expect.poll(late.values, settled).toEqual(["c"]);
});

test("a batch that fails is given again, and nothing behind it before", async () => {
  const topic = await kafka.topic(2);
  await send(topic, [
    { partition: 0, value: "0" },
    { partition: 1, value: "other" },
  ]);
  const seen: string[] = [];
  let failures = 3;
  const { said } = consumer(topic, {
    batch: 1,
    handle: async (records) => {
      seen.push(...records.map(text));
      if (text(records[0]!) === "0" && failures-- > 0) throw new Error("not yet");
    },
  });
  await expect.poll(() => seen.includes("other"), settled).toBe(true);
  await send(topic, [{ partition: 0, value: "1" }]);
  await expect.poll(() => seen.filter((value) => value !== "other"), settled).toEqual(["0", "0", "0", "0", "1"]);
  expect(said.filter((line) => line.includes("failed"))).toHaveLength(3);
});

test("at the end a batch that has begun is handled and committed, and no other begins", async () => {
  const topic = await kafka.topic(1);
  await send(
    topic,
    numbers(10).map((value) => ({ value })),
  );
  const begun: string[] = [];
  const one = consumer(topic, {
    batch: 5,
    handle: async (records) => {
      begun.push(...records.map(text));
      await sleep(500);
    },
  });
  await expect.poll(() => begun.length, settled).toBe(5);
  await one.end();
  expect(begun).toEqual(numbers(5));
  expect(await lagOf(topic)).toBe(5);
  const heir = consumer(topic);
  // It has left the group: nobody waits for its session to end.
  await expect.poll(heir.values, { timeout: 5_000 }).toEqual(numbers(5, 5));
});

test("two consumers share the partitions, when one comes and when one goes, and each record is handled", async () => {
  const topic = await kafka.topic(4);
  const first = consumer(topic, { batch: 10 });
  let sent = 0;
  const more = async (count: number) => {
    await send(
      topic,
      numbers(count, sent).map((value, index) => ({ partition: index % 4, value })),
    );
    sent += count;
  };
  await more(100);
  await expect.poll(() => first.values().length, settled).toBe(100);
  const second = consumer(topic, { batch: 10 });
  for (let round = 0; round < 20; round += 1) {
    await more(100);
    await sleep(50);
  }
  await expect.poll(() => second.values().length, settled).toBeGreaterThan(0);
  await more(400);
  await expect.poll(() => new Set([...first.values(), ...second.values()]).size, settled).toBe(sent);
  const shares = [first, second].map(
    (one) =>
      new Set(
        one
          .records()
          .slice(-50)
          .map(({ partition }) => partition),
      ).size,
  );
  expect(shares).toEqual([2, 2]);
  await first.end();
  await more(400);
  await expect.poll(() => new Set([...first.values(), ...second.values()]).size, settled).toBe(sent);
  expect(sent).toBe(2900);
  await expect.poll(() => lagOf(topic), settled).toBe(0);
});

test("what a transaction has not committed is not seen; when it is, the place is behind its mark", async () => {
  const topic = await kafka.topic(1);
  const claim = await kafka.stream(topic, { group: `${topic}-done` }).claim(0);
  const { values } = consumer(topic);
  await claim.commit(1, [{ to: kafka.stream(topic), records: [{ value: "a" }, { value: "b" }] }]);
  await claim.commit(2, [{ to: kafka.stream(topic), records: [{ value: "c" }] }]);
  await expect.poll(values, settled).toEqual(["a", "b", "c"]);
  const behind = async () => (await kafka.client(topic).lag(topic)).find(({ group }) => group.endsWith("-group"))?.lag;
  await expect.poll(behind, settled).toBe(0);
});

test.each(["gzip", "snappy", "lz4", "zstd"])("records compressed by %s are read", async (compression) => {
  const topic = await kafka.topic(1, { "compression.type": compression });
  const wanted = numbers(3000).map((value) => `${value} of many`);
  await send(
    topic,
    wanted.map((value) => ({ value, headers: { h: value } })),
  );
  const { records, values } = consumer(topic, { batch: 1000 });
  await expect.poll(() => values().length, settled).toBe(3000);
  expect(values()).toEqual(wanted);
  expect(records().map(({ headers }) => Buffer.from(headers.h!).toString())).toEqual(wanted);
});

test("records of 0 bytes, 1 MB, none at all and far times are read as they are", async () => {
  const topic = await kafka.topic(1);
  const large = Buffer.alloc(1_000_000, "large");
  const records = [
    { key: "k", value: "" },
    { value: large },
    { key: "gone" },
    { value: Buffer.from([0xff, 0, 0xc3, 0x28]), timestamp: 0 },
    { value: "far", timestamp: 32_503_680_000_000 },
    { value: "before", timestamp: 1 },
  ];
  await send(topic, records);
  const found = consumer(topic);
  await expect.poll(() => found.records().length, settled).toBe(6);
  expect(found.records().map(({ key, value }) => [key?.length, value?.length])).toEqual([
    [1, 0],
    [undefined, 1_000_000],
    [4, undefined],
    [undefined, 4],
    [undefined, 3],
    [undefined, 6],
  ]);
  expect(Buffer.from(found.records()[1]!.value!).equals(large)).toBe(true);
  expect(
    found
      .records()
      .slice(3)
      .map(({ timestamp }) => timestamp),
  ).toEqual([0, 32_503_680_000_000, 1]);
});
