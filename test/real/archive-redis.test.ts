import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { redisLock } from "../../lib/handlers/archive/redis-lock.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { everything, records, world } from "../handlers/archive/world.ts";
import { type RedisServer, startRedis } from "./servers/redis.ts";

/** Milliseconds; `npm run soak` has it gone for longer. */
const GONE = Number(process.env.MILLRACE_REDIS_GONE ?? 2000);

/** `MILLRACE_REDIS` names another Redis to use. */
const PASSWORD = "a secret";
let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis({ password: PASSWORD });
}, 120_000);
afterAll(() => redis.stop());

const lockOf = (space: string, { password = PASSWORD, url = redis.url } = {}) => {
  const lock = redisLock({ url, space, user: async () => ({ password }), onTrouble: () => {} });
  onTestFinished(() => lock[Symbol.asyncDispose]());
  return lock;
};

const range = (partition: number, from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${partition}/${from + index}`);

test("one at a time, until it is given back or its time is over, each in its own space", async () => {
  const [one, other, elsewhere] = [lockOf("locks"), lockOf("locks"), lockOf("others")];
  const release = await one.take("orders/3", 60_000);
  expect(await other.take("orders/3", 60_000)).toBeUndefined();
  expect(await one.take("orders/3", 60_000)).toBeUndefined();
  expect(await other.take("orders/4", 60_000)).toBeDefined();
  expect(await elsewhere.take("orders/3", 60_000)).toBeDefined();
  await release!();
  const short = await other.take("orders/3", 200);
  expect(short).toBeDefined();
  await expect.poll(() => one.take("orders/3", 60_000), { timeout: 5000 }).toBeDefined();
  // Who came too late gives back nothing of another's.
  await short!();
  expect(await other.take("orders/3", 60_000)).toBeUndefined();
});

test("a Redis that does not answer, or not to this user, is unavailable", async () => {
  await expect(lockOf("locks", { password: "wrong" }).take("a", 1000)).rejects.toMatchObject({ kind: "unavailable" });
  const nowhere = lockOf("locks", { url: "redis://127.0.0.1:1" });
  await expect(nowhere.take("a", 1000)).rejects.toMatchObject({ kind: "unavailable" });
});

test(
  "writers under its locks, gone and back in between without what it knew: once each, in order",
  async () => {
    const made = world({ files: 3, lease: 1000 });
    const locks = Array.from({ length: 4 }, () => lockOf("archive"));
    const settings = { time: GONE + 60_000, clock: systemClock };
    const write = async (partition: number) => {
      for (let from = 0; from < 200; from += 10) {
        await made.append(records("orders", partition, from, from + 10), { ...settings, lock: locks[partition % 4]! });
        await pause(10);
      }
    };
    const writing = Promise.all([0, 1, 2, 3, 4, 5].map(write));
    await pause(150);
    const { port } = redis;
    await redis.stop();
    await pause(GONE);
    redis = await startRedis({ port, password: PASSWORD });
    await writing;
    made.clock.time = Date.now() + 3_600_000;
    const found = await everything(made);
    expect(found.orders).toHaveLength(1200);
    for (let partition = 0; partition < 6; partition += 1) {
      expect(found.orders?.filter((at) => at.startsWith(`${partition}/`))).toEqual(range(partition, 0, 200));
    }
  },
  GONE + 60_000,
);
