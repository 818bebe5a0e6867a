import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { extentsOf } from "../../lib/runtime/kafka/places.ts";
import { KafkaWorld, world } from "./kafka-world.ts";

let kafka: KafkaWorld;
beforeAll(async () => {
  kafka = await KafkaWorld.start();
});
afterAll(() => kafka.stop());

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

const CHILD = fileURLToPath(new URL("kafka-child.ts", import.meta.url));

/** Another process, with a claim on the first topic. */
async function child(from: string, to: string) {
  const args = [CHILD, kafka.server.broker, from, to, `${from}-done`];
  const running = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(running);
  const lines = createInterface({ input: running.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string | undefined> => (await lines.next()).value;
  const exit = new Promise((resolve) => running.once("exit", resolve));
  return {
    claimed: await next(),
    next,
    tell: (line: string) => void running.stdin.write(`${line}\n`),
    ask: (line: string) => {
      running.stdin.write(`${line}\n`);
      return next();
    },
    kill: async () => {
      running.kill("SIGKILL");
      await exit;
    },
  };
}

const settled = { timeout: 30_000, interval: 20 };
const textOf = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString();

/** How many records of a topic are there, and how many of them readers of committed ones may read. */
async function recordsIn(topic: string) {
  const { cluster } = kafka.kafka();
  const count = async (isCommitted: boolean) =>
    (await extentsOf(cluster, world(), topic, { isCommitted })).reduce((sum, { next }) => sum + next, 0);
  return { all: await count(false), committed: await count(true) };
}

test("a process whose partition another one has claimed commits nothing any more", async () => {
  const [from, to] = [await kafka.topic(1), await kafka.topic(2)];
  const zombie = await child(from, to);
  expect(zombie.claimed).toBe("claimed undefined");
  expect(await zombie.ask("commit 1 4 10")).toBe("committed 1");
  const heir = await child(from, to);
  expect(heir.claimed).toBe("claimed 1");
  expect(await zombie.ask("commit 2 4 10")).toBe("conflict");
  expect(await heir.ask("commit 3 2 10")).toBe("committed 3");
  expect(await zombie.ask("commit 4 4 10")).toBe("conflict");
  expect(await zombie.ask("claim")).toBe("claimed 3");
  expect(await heir.ask("commit 5 4 10")).toBe("conflict");
  expect(await kafka.read(to)).toHaveLength(6);
});

test("of a transaction that kill -9 cuts nothing is there, and who claims next goes on before it", async () => {
  const [from, to] = [await kafka.topic(1), await kafka.topic(2)];
  const victim = await child(from, to);
  expect(await victim.ask("commit 1 2 10")).toBe("committed 1");
  victim.tell("commit 2 200 400000"); // 80 MB, which are under way for a while
  await expect
    .poll(async () => {
      const { all, committed } = await recordsIn(to);
      return all > committed + 2;
    }, settled)
    .toBe(true);
  await victim.kill();
  expect(await kafka.read(to)).toHaveLength(2);
  const heir = await child(from, to);
  expect(heir.claimed).toBe("claimed 1");
  expect(await heir.ask("commit 2 4 10")).toBe("committed 2");
  expect((await kafka.read(to)).map(({ value }) => value!.length)).toEqual(Array(6).fill(10));
});

test("a copy that is killed again and again has each record once, in order", async () => {
  const [from, to] = [await kafka.topic(1), await kafka.topic(2)];
  const values = Array.from({ length: 3000 }, (_, index) => String(index));
  await kafka.stream(from).send(values.map((value) => ({ value })));
  for (let kills = 0; kills < 3; kills += 1) {
    const copier = await child(from, to);
    copier.tell("copy 20");
    await copier.next();
    await sleep(20 + 60 * kills);
    await copier.kill();
  }
  const last = await child(from, to);
  let said = await last.ask("copy 500");
  while (said?.startsWith("at ")) said = await last.next();
  expect(said).toBe("copied");
  const copied = await kafka.read(to);
  for (const partition of [0, 1]) {
    const found = copied.filter((record) => record.partition === partition).map(({ value }) => textOf(value));
    expect(found).toEqual(values.filter((value) => Number(value) % 2 === partition));
  }
});
