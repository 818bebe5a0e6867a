import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { seededRandom } from "../../lib/clouds/local/host/faults.ts";
import { KafkaWorld } from "../real/kafka-world.ts";

const COPIER = fileURLToPath(new URL("kafka-copier.ts", import.meta.url));
const RECORDS = Number(process.env.KAFKA_SOAK_RECORDS ?? 1_000_000);
const KILLS = 20;
const RESTARTS = 5;
const PARTITIONS = 12;
const COPIERS = 3;
const BATCH = 5_000;

let kafka: KafkaWorld;
beforeAll(async () => {
  kafka = await KafkaWorld.start();
}, 200_000);
afterAll(() => kafka.stop());

test("three processes copy with claims, killed 20 times, over a broker that restarts 5 times: each record once, in order", async () => {
  const [from, to] = [await kafka.topic(PARTITIONS), await kafka.topic(PARTITIONS)];
  const random = seededRandom(20);
  const begin = () => spawn(process.execPath, [COPIER, kafka.server.broker, from, to], { stdio: "inherit" });
  const copiers: ChildProcess[] = Array.from({ length: COPIERS }, begin);
  const kill = async (index: number) => {
    copiers[index]!.kill("SIGKILL");
    await once(copiers[index]!, "exit");
  };
  const lag = async () => (await kafka.client(from).lag(from)).find(({ group }) => group.endsWith("-done"))?.lag;
  try {
    const stream = kafka.stream(from, { kafka: kafka.kafka({ patience: 300_000 }) });
    let sent = 0;
    const sendAll = async () => {
      while (sent < RECORDS) {
        const count = Math.min(BATCH, RECORDS - sent);
        await stream.send(Array.from({ length: count }, (_, index) => recordAt(sent + index)));
        sent += count;
      }
    };
    const sending = sendAll();
    for (let kills = 1; kills <= KILLS; kills += 1) {
      await sleep(500 + 3_000 * random());
      const victim = Math.floor(random() * COPIERS);
      await kill(victim);
      if (kills % (KILLS / RESTARTS) === 0) await kafka.server.restart();
      copiers[victim] = begin();
    }
    await sending;
    await expect.poll(() => lag().catch(() => undefined), { timeout: 1_200_000, interval: 1_000 }).toBe(0);
    const found = await kafka.read(to);
    expect(found).toHaveLength(RECORDS);
    const numbers = found.map(({ key, value }) => [Number(Buffer.from(key!)), Number(Buffer.from(value!))] as const);
    expect(new Set(numbers.map(([, number]) => number)).size).toBe(RECORDS);
    const last = new Map<number, number>();
    const late = numbers.filter(([key, number]) => {
      const before = last.get(key) ?? -1;
      last.set(key, number);
      return number < before;
    });
    expect(late).toEqual([]);
  } finally {
    for (const index of copiers.keys()) if (copiers[index]!.exitCode === null) await kill(index);
  }
});

/** Records of a key are in one partition, in the order of their numbers. */
const recordAt = (number: number) => ({ key: String(number % 997), value: String(number) });
