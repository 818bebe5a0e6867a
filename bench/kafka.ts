import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { pythonPackage } from "../test/real/install/python-package.ts";
import { KafkaWorld } from "../test/real/kafka-world.ts";
import type { Bench, BenchOptions, BenchResult } from "./bench.ts";
import { bentoCommand } from "./kafka/bento-command.ts";
import { type Job, orderAt, PARTITIONS, type Work } from "./kafka/job.ts";
import { installKafkaJs } from "./kafka/kafkajs-package.ts";
import { alternate, medianOf } from "./measure.ts";

/** A program of `kafka/`, and what it is told beside the job. */
const CONTENDERS = {
  ours: ["millrace.ts", "once"],
  exactly: ["millrace.ts", "exactly"],
  kafkajs: ["kafkajs.ts"],
  bare: ["platformatic.ts"],
  confluent: ["confluent.py"],
  bento: ["bento.ts"],
} as const;
/** Milliseconds after which a contender does not come to an end. */
const LONGEST = 300_000;
type Name = keyof typeof CONTENDERS;

/** JSON from one topic to another of the same Kafka: what our consumer and producer add to the work, and what theirs do. */
export const bench: Bench = {
  title: "JSON copied from topic to topic, two fields changed",
  async run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
    installKafkaJs();
    await bentoCommand();
    const python = join(await pythonPackage("confluent-kafka==2.12.0"), "python");
    const count = quick ? 20_000 : 300_000;
    const kafka = await KafkaWorld.start();
    try {
      const from = await kafka.topic(PARTITIONS);
      await fill(kafka, from, count);
      const contender = (name: Name) => async (round: number) => {
        const to = await kafka.topic(PARTITIONS);
        const command = name === "confluent" ? python : process.execPath;
        const work = await run(command, name, {
          broker: kafka.server.broker,
          from,
          to,
          group: `${name}-${round}`,
          count,
        });
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
        confluent: contender("confluent"),
        bento: contender("bento"),
      };
      const samples = await alternate(contenders, runs, (name, round, { wall, cpu }) =>
        say(`${name} ${round}: ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU s`),
      );
      const perCpu = (name: Name) => count / medianOf(samples[name], ({ cpu }) => cpu);
      const perSecond = (name: Name) => count / medianOf(samples[name], ({ wall }) => wall);
      const kafkajs = (value: number) => ({ name: "kafkajs eachBatch", value });
      const bare = (value: number) => ({ name: "the client's own loop", value });
      const confluent = (value: number) => ({ name: "confluent-kafka in Python", value });
      const bento = (value: number) => ({ name: "Bento", value });
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
            what: "messages per CPU second",
            ours: perCpu("ours"),
            peer: confluent(perCpu("confluent")),
            goal: { atLeast: 1 },
          },
          {
            what: "messages per second",
            ours: perSecond("ours"),
            peer: confluent(perSecond("confluent")),
            goal: { atLeast: 1 },
          },
          {
            what: "messages per CPU second",
            ours: perCpu("ours"),
            peer: bento(perCpu("bento")),
            goal: { atLeast: 2 },
          },
          {
            what: "messages per second",
            ours: perSecond("ours"),
            peer: bento(perSecond("bento")),
            goal: { atLeast: 1 },
          },
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
          "seconds of the client's process alone, without its start, which only Bento's has; the broker runs on the same cores",
          "Python's loop has the json of Python itself; Bento is as it was fastest of several configurations",
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

async function run(command: string, name: Name, job: Job): Promise<Work> {
  const [file, ...args] = CONTENDERS[name];
  const path = join(import.meta.dirname, "kafka", file);
  const { stdout } = await promisify(execFile)(command, [path, JSON.stringify(job), ...args], {
    timeout: LONGEST,
  });
  return JSON.parse(stdout) as Work;
}
