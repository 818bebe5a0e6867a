import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { millrace } from "../cli/run.ts";
import { KafkaWorld } from "./kafka-world.ts";

let kafka: KafkaWorld;
let topic: string;
const folder = mkdtempSync(join(tmpdir(), "millrace-kafka-stack-"));
beforeAll(async () => {
  kafka = await KafkaWorld.start();
  topic = await kafka.topic(2);
  const cloud = { name: "aws-eu-west-1", kind: "aws", region: "eu-west-1" };
  const part = { ...{ kind: "stream", name: "orders-events", stem: "orders-events" }, cloud: cloud.name };
  const plan = {
    ...{ version: 1, project: "p", stack: "prod", clouds: [cloud] },
    constructs: [{ name: "orders", type: "Orders", id: "orders", cloud: cloud.name }],
    parts: [{ ...part, construct: "orders", partitions: 2, kafka: { brokers: ["b-1.internal:9092"], tls: false } }],
  };
  // As the functions reach it, and nobody else does.
  const addresses = { "orders-events": { kind: "stream", topic, brokers: "b-1.internal:9092", tls: "false" } };
  writeFileSync(join(folder, "prod.json"), JSON.stringify({ millrace: { plan, addresses } }));
}, 60_000);
afterAll(async () => {
  await kafka.stop();
  rmSync(folder, { recursive: true });
});

const run = async (...words: string[]) => {
  const env = { MILLRACE_KAFKA_BROKERS: kafka.server.broker };
  return millrace(["streams", ...words, "--stack", "prod.json"], { cwd: folder, env });
};

test("a deployed stack's streams from outside: ls, produce, tail, lag", async () => {
  expect(await run("produce", "orders-events", "one", "--key", "k", "--partition", "1")).toEqual({
    ...{ code: 0, err: "" },
    out: "appended 1 record to orders-events at 1/0\n",
  });
  expect((await run("produce", "orders", "two", "--partition", "0")).code).toBe(0);
  const stream = kafka.stream(topic, { group: "orders-count-done" });
  const claim = await stream.claim(1);
  await claim.commit(1, [{ to: stream, records: [{ partition: 1, value: "three" }] }]);

  expect((await run("ls", "orders-events")).out).toMatch(/^PARTITION +FIRST +NEXT +RECORDS\n0 +0 +1 +1\n1 +0 +\d/);
  const { out } = await run("tail", "orders-events", "--from", "earliest", "--partition", "1", "--json");
  const shown = out.trimEnd().split("\n");
  expect(shown.map((line) => (JSON.parse(line) as { value: string }).value)).toEqual(["one", "three"]);
  expect(JSON.parse(shown[0]!)).toMatchObject({ partition: 1, offset: 0, key: "k" });
  const last = await run("tail", "orders-events");
  expect(last.out.match(/one|two|three/g)).toEqual(["one", "two", "three"]);
  const lag = JSON.parse((await run("lag", "orders-events", "--json")).out) as { group: string; lag: number }[];
  expect(lag).toMatchObject([{ stream: "orders-events", group: "orders-count-done", partitions: [{ next: 1 }] }]);
}, 60_000);
