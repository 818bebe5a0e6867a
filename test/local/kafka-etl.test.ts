import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { LocalClient } from "../../lib/clouds/local/client.ts";
import type { DeadLetter } from "../../lib/handlers/etl/dead-letter.ts";
import type { NewRecord } from "../../lib/runtime/ports.ts";
import type { Envelope } from "../../lib/runtime/tasks/envelope.ts";
import { startLocal } from "../../lib/testing/index.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const example = fileURLToPath(new URL("../../examples/kafka-etl-pipeline/index.ts", import.meta.url));

const asRecords = (values: readonly unknown[]): readonly NewRecord[] =>
  values.map((value) => ({ value: JSON.stringify(value) }));

const bodies = async <Body>({ queues }: LocalClient, queue: string): Promise<readonly Body[]> =>
  (await queues.peek(queue, 1000)).map(({ body }) => JSON.parse(body) as Body);

const until = (holds: () => Promise<boolean>) => expect.poll(holds, { timeout: 30_000, interval: 50 }).toBe(true);

test("the example: orders go through, what is none is told with its record, its error and a hook", async () => {
  await using cloud = await startLocal({ program: example, project });
  const order = (id: string, price: number) => ({ id, customer: "Ada Lovelace", items: [{ name: "tea", price }] });
  const poison = Buffer.from([0xff, 0xfe, 0x00]);
  await cloud.streams.produce("orders-source", [
    ...asRecords([order("a", 1.5), order("b", 0), { id: "c" }]),
    { value: poison, key: "k", headers: { region: "eu" }, partition: 0 },
    {},
  ]);
  await until(async () => (await bodies(cloud, "orders-dead-letters")).length === 3);
  await until(async () => (await bodies(cloud, "orders-done")).length === 1);
  expect(await bodies(cloud, "orders-done")).toEqual([{ order: "a", customer: "***ce", total: 150 }]);
  const letters = await bodies<DeadLetter>(cloud, "orders-dead-letters");
  const binary = letters.find(({ operator }) => operator === "format");
  expect(binary).toMatchObject({
    record: {
      ...{ topic: "orders-source", partition: 0, key: "k", headers: { region: "eu" } },
      ...{ value: poison.toString("base64"), base64: ["value"], valueSize: 3, overflowFlag: false },
    },
    error: { kind: "bad-input", message: "the value is no UTF-8 text" },
  });
  expect(letters.filter(({ operator }) => operator === "1")).toHaveLength(2);
}, 60_000);

test("the demonstration: two batches, one of which is stopped by hand; a message in each queue", async () => {
  await using cloud = await startLocal({ program: example, project });
  await cloud.streams.produce("scores-source", asRecords([{ text: "quick" }, { text: "slow", seconds: 60 }]));
  const { tasks } = cloud;
  await until(async () => (await tasks.list("scores-runs")).tasks.length === 2);
  await until(async () => (await tasks.list("scores-runs", { status: "succeeded" })).tasks.length === 1);
  await until(async () => (await tasks.list("scores-runs", { status: "running" })).tasks.length === 1);
  const [running] = (await tasks.list("scores-runs", { status: "running" })).tasks;
  await tasks.stop("scores-runs", running!.id);
  expect((await tasks.wait("scores-runs", running!.id)).status).toBe("stopped");
  await until(async () => (await bodies(cloud, "scores-dead-letters")).length === 1);

  const [done] = await bodies<Envelope>(cloud, "scores-done");
  expect(done!.responseContext).toEqual({ statusCode: 200, functionError: "" });
  expect(JSON.parse(done!.responsePayload as string)).toEqual([{ text: "quick", score: 5 }]);
  expect(JSON.parse(done!.requestPayload as string)).toEqual([
    {
      ...{ topic: "scores-source", key: null, value: '{"text":"quick"}', valueSize: 16, overflowFlag: false },
      ...{ partition: expect.any(Number), offset: 0, timestamp: expect.any(Number) },
    },
  ]);
  const [dead] = await bodies<Envelope>(cloud, "scores-dead-letters");
  expect(dead!.requestContext.condition).toBe("stopped");
  expect(JSON.parse(dead!.requestPayload as string)).toMatchObject([{ value: '{"text":"slow","seconds":60}' }]);
}, 60_000);

test("a run's batch that is too large for its envelope goes back, too", async () => {
  await using cloud = await startLocal({ program: example, project });
  const { tasks, streams } = cloud;
  const text = "slow".repeat(10_000);
  await streams.produce("scores-source", asRecords([{ text, seconds: 60 }]));
  const running = async () => (await tasks.list("scores-runs", { status: "running" })).tasks;
  await until(async () => (await running()).length === 1);
  const [run] = await running();
  await tasks.stop("scores-runs", run!.id);
  await until(async () => (await bodies(cloud, "scores-dead-letters")).length === 1);
  const [dead] = await bodies<Envelope>(cloud, "scores-dead-letters");
  expect(dead!.requestPayload).toMatchObject({ size: expect.any(Number) });
  const { id } = await tasks.submit("scores-redrive", {});
  expect((await tasks.wait("scores-redrive", id)).status).toBe("succeeded");
  const { result } = (await tasks.audit("scores-redrive", id))!;
  expect(result).toEqual({ matched: 1, redriven: 1, left: 0, gone: 0 });
  await until(async () => (await running()).length === 1);
  const [again] = await running();
  const audit = await tasks.audit("scores-runs", again!.id);
  expect(audit!.payload).toMatchObject([{ value: JSON.stringify({ text, seconds: 60 }) }]);
}, 60_000);

test("dead letters go back: those of a kind, first only counted, and come to something once they can", async () => {
  await using cloud = await startLocal({ program: example, project });
  const { tasks, streams } = cloud;
  await streams.produce("orders-source", [...asRecords([{ id: "a" }, { id: "b" }]), { value: "no JSON" }]);
  await until(async () => (await bodies(cloud, "orders-dead-letters")).length === 3);
  const redrive = async (request: object) => {
    const { id } = await tasks.submit("orders-redrive", request);
    expect((await tasks.wait("orders-redrive", id)).status).toBe("succeeded");
    return (await tasks.audit("orders-redrive", id))!.result;
  };
  expect(await redrive({ where: "id = 'a'", dryRun: true })).toEqual({ matched: 1, redriven: 0, left: 3, gone: 0 });
  expect(await redrive({ where: "id = 'a'" })).toEqual({ matched: 1, redriven: 1, left: 2, gone: 0 });
  // It is as dead as it was.
  await until(async () => (await bodies(cloud, "orders-dead-letters")).length === 3);
  expect(await redrive({ kind: "unavailable" })).toEqual({ matched: 0, redriven: 0, left: 3, gone: 0 });
  expect(await redrive({})).toMatchObject({ redriven: expect.any(Number) });
  const { id } = await tasks.submit("orders-redrive", { kind: 1 });
  expect(await tasks.wait("orders-redrive", id)).toMatchObject({ status: "failed", error: { kind: "bad-input" } });
}, 60_000);
