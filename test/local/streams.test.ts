import { expect, onTestFinished, test } from "vitest";
import type { FailedRecords } from "../../lib/clouds/local/host/consumer.ts";
import { fromWire, type WireConsumed } from "../../lib/runtime/stream-records.ts";
import type { Order } from "./programs/streams-count.ts";
import { scene } from "./scene.ts";
import {
  batches,
  done,
  expectOneAtATime,
  FAILURES,
  lagOf,
  numberOf,
  ORDERS,
  order,
  orders,
  PARTITIONS,
  RESULTS,
  readAll,
  STREAMS,
  textOf,
} from "./streams.ts";

test("each partition in order, partitions at once, two groups by themselves", async () => {
  const stage = scene();
  const cloud = await stage.start({ program: STREAMS });
  const places = await cloud.streams.produce(ORDERS, orders(0, 400, { takes: 5 }));
  expect(places).toHaveLength(400);
  await cloud.idle();
  const stored = await readAll(cloud, ORDERS);
  expect(
    stored
      .flat()
      .map(numberOf)
      .sort((one, other) => one - other),
  ).toEqual([...Array(400).keys()]);

  const notes = batches(stage);
  expectOneAtATime(notes);
  for (const partition of PARTITIONS) {
    const own = done(notes).filter((note) => note.partition === partition);
    expect(own.flatMap(({ numbers }) => numbers)).toEqual(stored[partition]!.map(numberOf));
    expect(Math.max(...own.map(({ count }) => count))).toBe(10);
  }
  const whats = notes.map(({ what }) => what);
  expect(whats.some((what, index) => what === "begin" && whats[index + 1] === "begin")).toBe(true);

  // The same records, once more, to the other group.
  const results = (await readAll(cloud, RESULTS)).flat().map(textOf).map(Number);
  expect(results.sort((one, other) => one - other)).toEqual([...Array(400).keys()]);
  const groups = await cloud.streams.lag(ORDERS);
  expect(groups.map(({ group, lag }) => `${group} ${lag}`)).toEqual([
    "shop-count 0",
    "shop-tally 0",
    "shop-tally-done 0",
  ]);
  expect(cloud.usedVerbs("shop-tally").map(({ part, action }) => `${action} ${part}`)).toEqual([
    "stream.claim shop-orders",
    "stream.produce shop-results",
  ]);
});

test("a batch that fails is given again, the ones behind it wait, and in the end its records are set aside", async () => {
  const stage = scene();
  const cloud = await stage.start({ program: STREAMS, clock: "virtual" });
  const at = (partition: number, number: number, more: Partial<Order> = {}) => ({ ...order(number, more), partition });
  const headers = { trace: new Uint8Array([0, 255]) };
  await cloud.streams.produce(ORDERS, [
    at(0, 0),
    { ...at(0, 1, { fails: "always" }), headers },
    ...Array.from({ length: 12 }, (_, index) => at(0, index + 2)),
    at(1, 20, { fails: "first" }),
    at(2, 30),
  ]);
  await cloud.idle();
  expect(done(batches(stage)).map(({ numbers }) => numbers)).toEqual([[30]]);
  expect(await lagOf(cloud, "shop-count")).toBe(15);
  await cloud.advance("2 seconds");
  await cloud.advance("2 seconds");

  const notes = batches(stage);
  expectOneAtATime(notes);
  const tries = notes.filter(({ what, partition }) => what === "begin" && partition === 0);
  const first = [...Array(10).keys()];
  expect(tries.map(({ attempt, numbers }) => [attempt, numbers])).toEqual([
    [1, first],
    [2, first],
    [3, first],
    [1, [10, 11, 12, 13]],
  ]);
  expect(done(notes).find(({ partition }) => partition === 1)).toMatchObject({ attempt: 2, numbers: [20] });
  expect(await lagOf(cloud, "shop-count")).toBe(0);

  const messages = await cloud.queues.peek(FAILURES, 10);
  expect(messages).toHaveLength(1);
  const { event, error, attempts } = JSON.parse(messages[0]!.body) as FailedRecords;
  expect({ attempts, error: error.message }).toEqual({ attempts: 3, error: "order 1 cannot be counted" });
  const { records, ...rest } = fromWire(event as WireConsumed);
  expect(rest).toMatchObject({ type: "stream.consumed", id: `${ORDERS}-0-0`, stream: ORDERS });
  expect(records.map(numberOf)).toEqual(first);
  expect(records[1]).toMatchObject({ partition: 0, offset: 1, headers });
});

test("a batch too large for the failure queue is told by where it lies", async () => {
  const stage = scene();
  const cloud = await stage.start({ program: STREAMS, clock: "virtual" });
  const large = { ...order(1, { fails: "always" }), partition: 3, headers: { padding: Buffer.alloc(1_200_000) } };
  await cloud.streams.produce(ORDERS, [{ ...order(0), partition: 3 }, large]);
  for (let attempt = 0; attempt < 3; attempt += 1) await cloud.advance("2 seconds");
  const [message] = await cloud.queues.peek(FAILURES, 10);
  expect((JSON.parse(message!.body) as FailedRecords).event).toEqual({
    type: "stream.consumed",
    id: `${ORDERS}-3-0`,
    stream: ORDERS,
    ranges: [{ partition: 3, first: 0, last: 1 }],
  });
});

test("a hundred thousand records, appended and read by two groups", async () => {
  const stage = scene();
  process.env.STREAMS_TEST_BATCH = "2000";
  onTestFinished(() => void delete process.env.STREAMS_TEST_BATCH);
  const cloud = await stage.start({ program: STREAMS });
  const total = 100_000;
  for (let from = 0; from < total; from += 20_000) await cloud.streams.produce(ORDERS, orders(from, from + 20_000));
  await cloud.idle();
  expect(await lagOf(cloud, "shop-count")).toBe(0);
  const notes = batches(stage);
  expectOneAtATime(notes);
  expect(done(notes).reduce((sum, { count }) => sum + count, 0)).toBe(total);
  const results = await cloud.streams.list();
  const appended = results.find(({ stream }) => stream === RESULTS)!.partitions.map(({ next }) => next);
  expect(appended.reduce((sum, next) => sum + next)).toBe(total);
}, 60_000);

test("faults: late, twice, and a commit whose answer is lost", async () => {
  const stage = scene();
  const cloud = await stage.start({ program: STREAMS, clock: "virtual" });
  cloud.fault({ at: "stream.consumed", part: "shop-count", times: 1, duplicate: 1 });
  cloud.fault({ at: "stream.commit", part: ORDERS, times: 1, when: "after", error: "unavailable" });
  cloud.fault({ at: "stream.claim", part: ORDERS, times: 1, kill: true });
  await cloud.streams.produce(ORDERS, [{ ...order(1), partition: 0 }]);
  await cloud.idle();
  for (let attempt = 0; attempt < 3; attempt += 1) await cloud.advance("2 seconds");
  expect(done(batches(stage)).map(({ numbers }) => numbers)).toEqual([[1], [1]]);
  expect((await readAll(cloud, RESULTS)).flat().map(textOf)).toEqual(["1"]);
  expect(await lagOf(cloud, "shop-tally")).toBe(0);
});

test("a function that falls behind raises its alarm, until it has caught up", async () => {
  const stage = scene();
  const cloud = await stage.start({ program: STREAMS, clock: "virtual" });
  const told = async () =>
    (await cloud.queues.peek("shop-pager", 10)).map(({ body }) => {
      const { part, metric, state, value } = JSON.parse(body) as Record<string, unknown>;
      return `${metric} of ${part}: ${value}, ${state}`;
    });
  cloud.fault({ at: "stream.consumed", part: "shop-count", delay: "1 minute" });
  await cloud.streams.produce(
    ORDERS,
    orders(0, 15).map((record) => ({ ...record, partition: 1 })),
  );
  await cloud.advance("8 seconds");
  expect(await told()).toEqual([]);
  await cloud.advance("5 seconds");
  expect(await told()).toEqual(["lag of shop-count: 15, alarm"]);
  await cloud.advance("2 minutes");
  expect(await told()).toEqual(["lag of shop-count: 15, alarm", "lag of shop-count: 5, ok"]);
  expect(await lagOf(cloud, "shop-count")).toBe(0);
});
