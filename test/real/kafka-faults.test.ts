import { afterAll, beforeAll, expect, test } from "vitest";
import { consume } from "../../lib/runtime/kafka/consumer.ts";
import { port, worldBy } from "../../lib/runtime/kafka/port.ts";
import { KafkaWorld, world } from "./kafka-world.ts";

let kafka: KafkaWorld;
beforeAll(async () => {
  kafka = await KafkaWorld.start({ users: [{ username: "ann", password: "s3cret" }] });
});
afterAll(() => kafka.stop());

const settled = { timeout: 30_000, interval: 20 };
const textOf = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString();

test("a broker that restarts while records are sent, claimed and consumed loses and doubles none", async () => {
  const [topic, to] = [await kafka.topic(2), await kafka.topic(2)];
  const ending = new AbortController();
  const consumed: string[] = [];
  const done = consume({
    connection: kafka.connection,
    topic,
    group: `${topic}-group`,
    batch: 50,
    window: 0.05,
    from: "earliest",
    signal: ending.signal,
    log: world().log,
    session: 20,
    handle: async (records) => void consumed.push(...records.map(({ value }) => textOf(value))),
  });
  const results = kafka.kafka({ patience: 120_000 }); // on a busy machine a broker takes its time
  const stream = kafka.stream(topic, { kafka: results });
  const claim = await kafka.stream(topic, { kafka: results, group: `${topic}-done` }).claim(0);
  const result = kafka.stream(to, { kafka: results });
  let sent = 0;
  const work = async () => {
    const records = Array.from({ length: 20 }, () => ({ partition: sent % 2, value: String(sent++) }));
    await stream.send(records);
    await claim.commit(sent, [{ to: result, records }]);
  };
  for (let round = 0; round < 20; round += 1) await work();
  const restarted = kafka.server.restart();
  let isBack = false;
  void restarted.then(() => {
    isBack = true;
  });
  while (!isBack) await work();
  await restarted;
  for (let round = 0; round < 20; round += 1) await work();
  const wanted = (partition: number) =>
    Array.from({ length: sent }, (_, index) => String(index)).filter((value) => Number(value) % 2 === partition);
  for (const where of [topic, to]) {
    const found = await kafka.read(where);
    for (const partition of [0, 1]) {
      const values = found.filter((record) => record.partition === partition).map(({ value }) => textOf(value));
      expect(values).toEqual(wanted(partition));
    }
  }
  await expect.poll(() => new Set(consumed).size, settled).toBe(sent);
  ending.abort();
  await done;
});

test("of a broker that is gone it is said that it does not answer, and work goes on when it is back", async () => {
  const topic = await kafka.topic(1);
  const impatient = kafka.kafka({ patience: 500 });
  const stream = kafka.stream(topic, { kafka: impatient, group: `${topic}-done` });
  await stream.send([{ value: "a" }]);
  const claim = await stream.claim(0);
  await kafka.server.pause();
  const unavailable = expect.objectContaining({ kind: "unavailable" });
  try {
    await expect(stream.send([{ value: "b" }])).rejects.toThrow(unavailable);
    await expect(stream.claim(0)).rejects.toThrow(unavailable);
    await expect(claim.commit(1)).rejects.toThrow(unavailable);
  } finally {
    await kafka.server.start();
  }
  await expect.poll(() => stream.send([{ value: "c" }]).then(() => "sent", String), settled).toBe("sent");
  await expect(claim.commit(1)).rejects.toThrow(/claim the partition again/);
  await (await stream.claim(0)).commit(1);
  expect((await kafka.read(topic)).map(({ value }) => textOf(value))).toEqual(["a", "c"]);
});

test("a stop ends what waits for a broker", async () => {
  const topic = await kafka.topic(1);
  const stopping = new AbortController();
  const address = { kind: "stream", part: "gone", topic, brokers: "127.0.0.1:1", tls: "false" } as const;
  const sending = port(address, world(stopping.signal)).send([{ value: "a" }]);
  setTimeout(() => stopping.abort(new Error("stopped")), 200);
  await expect(sending).rejects.toThrow("stopped");
});

test("what is too large for a topic is split where it can be, and refused where not", async () => {
  const topic = await kafka.topic(1, { "max.message.bytes": "20000" });
  const stream = kafka.stream(topic, { group: `${topic}-done` });
  const values = Array.from({ length: 100 }, (_, index) => String(index).padStart(1000));
  await stream.send(values.map((value) => ({ value })));
  const refused = expect.objectContaining({ kind: "bad-input" });
  await expect(stream.send([{ value: "x".repeat(30_000) }])).rejects.toThrow(refused);
  const claim = await stream.claim(0);
  const large = [{ to: stream, records: [{ value: "y" }, { value: "x".repeat(30_000) }] }];
  await expect(claim.commit(1, large)).rejects.toThrow(refused);
  await claim.commit(1, [{ to: stream, records: [{ value: "fits" }] }]);
  expect((await kafka.read(topic)).map(({ value }) => textOf(value))).toEqual([...values, "fits"]);
});

test.each(["plain", "scram-sha-256", "scram-sha-512"])(
  "a user is proven by %s, and another password refused",
  async (mechanism) => {
    const topic = await kafka.topic(1);
    const address = {
      kind: "stream",
      part: "orders",
      topic,
      brokers: kafka.server.guarded,
      tls: "false",
      mechanism,
      group: `${topic}-done`,
      keys: "$keys.user",
    } as const;
    const as = (password: string) =>
      port(address, worldBy(JSON.stringify({ username: "ann", password }), world(), "user"));
    await as("s3cret").send([{ value: "a" }]);
    await (await as("s3cret").claim(0)).commit(1, [{ to: as("s3cret"), records: [{ value: "b" }] }]);
    expect((await kafka.read(topic)).map(({ value }) => textOf(value))).toEqual(["a", "b"]);
    await expect(as("wrong").send([{ value: "c" }])).rejects.toThrow(expect.objectContaining({ kind: "refused" }));
  },
);

test("a secret that holds no user is told without its text, and a topic that is not there by its name", async () => {
  expect(() => worldBy("hush", world(), "user")).toThrow(/^secret "user" holds no user: JSON is wanted(?!.*hush)/);
  const missing = kafka.stream("missing", { kafka: kafka.kafka({ patience: 500 }) });
  await expect(missing.send([{ value: "a" }])).rejects.toThrow(expect.objectContaining({ kind: "not-found" }));
});
