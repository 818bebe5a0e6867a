import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../../lib/runtime/clock.ts";
import { kafkaStreams } from "../../lib/runtime/kafka/client.ts";
import { treeCpu } from "../measure.ts";
import { bentoCommand } from "./bento-command.ts";
import type { Job, Work } from "./job.ts";

/**
 * Bento as it was fastest of several ways to set it up: batches of its input, many sends under way, and no batches of
 * its output. It runs until it is told to end, so the seconds are those until all records lie in the other topic, and
 * its CPU is that of its process from the start on.
 */
const job = JSON.parse(process.argv[2]!) as Job;
const command = await bentoCommand();
const folder = mkdtempSync(join(tmpdir(), "millrace-bento-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "bento.json");
writeFileSync(file, JSON.stringify(configurationOf(job)));
const began = performance.now();
const bento = spawn(command, ["-c", file], { stdio: ["ignore", "ignore", "inherit"] });
bento.once("exit", (code) => process.exit(code ?? 1));
const cpu = await cpuUntilDone(bento.pid!, job);
const work: Work = { wall: (performance.now() - began) / 1000, cpu };
bento.removeAllListeners("exit");
bento.kill("SIGKILL");
await once(bento, "exit");
console.log(JSON.stringify(work));
process.exit(0);

/** https://warpstreamlabs.github.io/bento/docs/components/inputs/kafka_franz */
function configurationOf({ broker, from, to, group }: Job) {
  const mapping = [
    "root = this",
    "root.total = (this.price * this.count * 100).round() / 100",
    'root.state = "priced"',
  ].join("\n");
  return {
    http: { enabled: false },
    logger: { level: "ERROR" },
    input: {
      kafka_franz: {
        ...{ seed_brokers: [broker], topics: [from], consumer_group: group, start_from_oldest: true },
        ...{ checkpoint_limit: 100_000, batching: { count: 500, period: "50ms" } },
      },
    },
    pipeline: { processors: [{ mapping }] },
    output: {
      kafka_franz: {
        ...{ seed_brokers: [broker], topic: to, key: `\${! meta("kafka_key") }` },
        ...{ max_in_flight: 64, idempotent_write: true, compression: "none" },
      },
    },
  };
}

async function cpuUntilDone(pid: number, { broker, to, count }: Job): Promise<number> {
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const world = { signal: new AbortController().signal, clock: systemClock, log, files: "/nowhere" };
  const connection = async () => ({ brokers: [broker], tls: false });
  const client = kafkaStreams([{ stream: to, topic: to, connection }], world);
  for (;;) {
    await pause(50);
    const cpu = treeCpu(pid);
    const [info] = await client.list();
    if (info!.partitions.reduce((sum, { next }) => sum + next, 0) >= count) return cpu;
  }
}
