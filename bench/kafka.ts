import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { KafkaWorld } from "../test/real/kafka-world.ts";
import type { Bench, BenchOptions, BenchResult } from "./bench.ts";
import { type Job, orderAt, PARTITIONS, type Work } from "./kafka/job.ts";
import { installKafkaJs } from "./kafka/kafkajs-package.ts";
import { alternate, medianOf } from "./measure.ts";

const CONTENDERS = {
  ours: ["millrace.ts", "once"],
  exactly: ["millrace.ts", "exactly"],
  kafkajs: ["kafkajs.ts"],
  bare: ["platformatic.ts"],
} as const;
/** Milliseconds after which a contender does not come to an end. */
const LONGEST = 300_000;
type Name = keyof typeof CONTENDERS;

/** JSON from one topic to another of the same Kafka: what our consumer and producer add to the work, and what theirs do. */
export const bench: Bench = {
  title: "JSON copied from topic to topic, two fields changed",
  async run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
    installKafkaJs();
    const count = quick ? 20_000 : 300_000;
    const kafka = await KafkaWorld.start();
    try {
      const from = await kafka.topic(PARTITIONS);
      await fill(kafka, from, count);
      const contender = (name: Name) => async (round: number) => {
        const to = await kafka.topic(PARTITIONS);
        const work = await run(name, { broker: kafka.server.broker, from, to, group: `${name}-${round}`, count });
        const [info] = await kafka.client(to).list();
        // Commits of transactions take a place in a partition, too.
        const copied = info!.partitions.reduce((sum, { next }) => sum + next, 0);
        if (copied < count) throw new Error(`${name} copied ${copied} of ${count} records`);
        return work;
      };
      const contenders = {
        ours: contender("ours"),
        kafkajs: contender("kafkajs"),
        exactly: contender("exactly"),
        bare: contender("bare"),
      };
      const samples = await alternate(contenders, runs, (name, round, { wall, cpu }) =>
        say(`${name} ${round}: ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU s`),
      );
      const perCpu = (name: Name) => count / medianOf(samples[name], ({ cpu }) => cpu);
      const perSecond = (name: Name) => count / medianOf(samples[name], ({ wall }) => wall);
      const kafkajs = (value: number) => ({ name: "kafkajs eachBatch", value });
      const bare = (value: number) => ({ name: "the client's own loop", value });
      return {
        figures: [
          {
            what: "messages per CPU second",
            ours: perCpu("ours"),
            peer: kafkajs(perCpu("kafkajs")),
            goal: { atLeast: 1.3 },
          },
          { what: "messages per second", ours: perSecond("ours"), peer: kafkajs(perSecond("kafkajs")) },
          {
            what: "messages per CPU second",
            ours: perCpu("ours"),
            peer: bare(perCpu("bare")),
            goal: { atLeast: 0.97 },
          },
          { what: "messages per second", ours: perSecond("ours"), peer: bare(perSecond("bare")) },
          {
            what: "messages per second, exactly once",
            ours: perSecond("exactly"),
            peer: { name: "ours, at least once", value: perSecond("ours") },
            goal: { atLeast: 0.85 },
          },
          { what: "messages per CPU second, exactly once", ours: perCpu("exactly"), peer: kafkajs(perCpu("kafkajs")) },
        ],
        notes: [
          `${count.toLocaleString("en")} records of ${orderAt(count).length} bytes in ${PARTITIONS} partitions; all append with an idempotent producer and all replicas`,
          "seconds of the client's process alone, without its start; the broker runs on the same cores",
        ],
        samples,
      };
    } finally {
      await kafka.stop();
    }
  },
};

async function fill(kafka: KafkaWorld, topic: string, count: number): Promise<void> {
  const stream = kafka.stream(topic);
  for (let begin = 0; begin < count; begin += 10_000) {
    const size = Math.min(10_000, count - begin);
    const records = Array.from({ length: size }, (_, index) => ({
      partition: (begin + index) % PARTITIONS,
      key: `customer-${(begin + index) % 9973}`,
      value: orderAt(begin + index),
    }));
    await stream.send(records);
  }
}

async function run(name: Name, job: Job): Promise<Work> {
  const [file, ...args] = CONTENDERS[name];
  const path = join(import.meta.dirname, "kafka", file);
  const { stdout } = await promisify(execFile)(process.execPath, [path, JSON.stringify(job), ...args], {
    timeout: LONGEST,
  });
  return JSON.parse(stdout) as Work;
}
