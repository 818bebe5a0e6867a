import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { pythonPackage } from "../test/real/install/python-package.ts";
import { KafkaWorld } from "../test/real/kafka-world.ts";
import type { Bench, BenchOptions, BenchResult } from "./bench.ts";
import { findNodes } from "./bundles.ts";
import { bentoCommand } from "./kafka/bento-command.ts";
import { handlerLatency } from "./kafka/handler-latency.ts";
import { type Job, orderAt, PARTITIONS, type Work } from "./kafka/job.ts";
import { installKafkaJs } from "./kafka/kafkajs-package.ts";
import { alternate, medianOf } from "./measure.ts";

/** A program of `kafka/`, and what it is told beside the job. */
const CONTENDERS = {
  ours: ["millrace.ts", "once"],
  exactly: ["millrace.ts", "exactly"],
  kafkajs: ["kafkajs.ts"],
  bare: ["platformatic.ts"],
  python: ["millrace-python.ts"],
  confluent: ["confluent.py"],
  bento: ["bento.ts"],
} as const;
/** Milliseconds after which a contender does not come to an end. */
const LONGEST = 300_000;
type Name = keyof typeof CONTENDERS;

/** What figures call those that others are compared with. */
const PEERS = {
  ours: "ours, at least once",
  kafkajs: "kafkajs eachBatch",
  bare: "the client's own loop",
  confluent: "confluent-kafka in Python",
  bento: "Bento",
} as const;

interface Goal {
  /** Of the peer's rate. */
  readonly atLeast?: number;
  /** What is said of ours beside. */
  readonly how?: string;
}

/** JSON from one topic to another of the same Kafka: what our consumer and producer add to the work, and what theirs do. */
export const bench: Bench = {
  title: "JSON copied from topic to topic, two fields changed",
  async run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
    installKafkaJs();
    await bentoCommand();
    const python = join(await pythonPackage("confluent-kafka==2.12.0"), "python");
    const count = quick ? 20_000 : 300_000;
    const kafka = await KafkaWorld.start();
    const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
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
        python: contender("python"),
        confluent: contender("confluent"),
        bento: contender("bento"),
      };
      const samples = await alternate(contenders, runs, (name, round, { wall, cpu }) =>
        say(`${name} ${round}: ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU s`),
      );
      const { alicloud, others } = await findNodes();
      const node20 = alicloud === others ? undefined : alicloud;
      const latency = await handlerLatency(kafka, { folder, runs, rounds: quick ? 3 : 20, node20, say });
      const beside = (
        per: "CPU second" | "second",
        own: Name,
        peer: keyof typeof PEERS,
        { atLeast, how }: Goal = {},
      ) => {
        const rate = (name: Name) =>
          count / medianOf(samples[name], ({ wall, cpu }) => (per === "second" ? wall : cpu));
        return {
          what: `messages per ${per}${how === undefined ? "" : `, ${how}`}`,
          ours: rate(own),
          peer: { name: PEERS[peer], value: rate(peer) },
          ...(atLeast !== undefined && { goal: { atLeast } }),
        };
      };
      const [inPython, once] = ["operator in Python", "exactly once"];
      return {
        figures: [
          beside("CPU second", "ours", "kafkajs", { atLeast: 1.3 }),
          beside("second", "ours", "kafkajs"),
          beside("CPU second", "ours", "bare", { atLeast: 0.97 }),
          beside("second", "ours", "bare"),
          beside("CPU second", "ours", "confluent", { atLeast: 1 }),
          beside("second", "ours", "confluent", { atLeast: 1 }),
          beside("CPU second", "python", "confluent", { atLeast: 0.9, how: inPython }),
          beside("second", "python", "confluent", { how: inPython }),
          beside("CPU second", "ours", "bento", { atLeast: 2 }),
          beside("second", "ours", "bento", { atLeast: 1 }),
          beside("second", "exactly", "ours", { atLeast: 0.85, how: once }),
          beside("CPU second", "exactly", "kafkajs", { how: once }),
          ...latency,
        ],
        notes: [
          `${count.toLocaleString("en")} records of ${orderAt(count).length} bytes in ${PARTITIONS} partitions; all append with an idempotent producer and all replicas`,
          "seconds of the client's process alone, without its start, which only Bento's has; the broker runs on the same cores",
          "our operator in Python is a process beside ours, whose seconds of CPU are counted with ours",
          "the handler is a process of its own, bundled as for platforms, each batch delivered in one transaction",
          ...(node20 === undefined ? ["no Node 20 was found: name one by MILLRACE_NODE20"] : []),
          `load ${loadavg()
            .map((one) => one.toFixed(1))
            .join(", ")}`,
          "Python's loop has the json of Python itself; Bento is as it was fastest of several configurations",
        ],
        samples,
      };
    } finally {
      await kafka.stop();
      await rm(folder, { recursive: true, force: true });
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
