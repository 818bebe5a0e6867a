import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bundle } from "../../lib/bundle/bundle.ts";
import type { EtlSettings } from "../../lib/handlers/etl/settings.ts";
import type { KafkaWorld } from "../../test/real/kafka-world.ts";
import type { Figure } from "../bench.ts";
import { alternate, median } from "../measure.ts";
import { orderAt, PARTITIONS } from "./job.ts";

/** Records of one batch. */
const SIZES = [1, 100, 10_000];
const pathOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

interface Calls {
  /** Milliseconds. */
  readonly cold: number;
  readonly warm: readonly { readonly count: number; readonly milliseconds: number }[];
}

interface LatencyOptions {
  readonly folder: string;
  readonly runs: number;
  /** Batches of each size in one process. */
  readonly rounds: number;
  /** A Node 20, if there is one. */
  readonly node20: string | undefined;
  readonly say: (line: string) => void;
}

/**
 * The handler of the pipeline, as it is bundled for platforms, on a real Kafka: from a batch to its outputs and its place
 * in one transaction. Cold is a process just started, from the import of the bundle to the end of a batch of one.
 */
export async function handlerLatency(kafka: KafkaWorld, options: LatencyOptions): Promise<readonly Figure[]> {
  const { folder, runs, node20, say } = options;
  const nodes = { "Node 24": { path: process.execPath, target: "node24" } } as Record<string, Node>;
  if (node20 !== undefined) nodes["Node 20"] = { path: node20, target: "node20" };
  const contenders = Object.fromEntries(
    await Promise.all(
      Object.entries(nodes).map(async ([name, node]) => {
        const file = await bundled(node.target, folder);
        return [name, (round: number) => callsOf(kafka, node.path, file, { ...options, round })] as const;
      }),
    ),
  );
  const samples = await alternate(contenders, runs, (name, round, { cold }) =>
    say(`handler on ${name} ${round}: cold ${cold.toFixed(0)} ms`),
  );
  return Object.entries(samples).flatMap(([name, calls]) => figuresOf(name, calls));
}

interface Node {
  readonly path: string;
  readonly target: "node20" | "node24";
}

const figuresOf = (node: string, calls: readonly Calls[]): readonly Figure[] => [
  { what: `handler on ${node}: cold start with a batch of 1, ms`, ours: median(calls.map(({ cold }) => cold)) },
  ...SIZES.map((size) => {
    const times = calls.flatMap(({ warm }) => warm.filter(({ count }) => count === size));
    const ours = median(times.map(({ milliseconds }) => milliseconds));
    return { what: `handler on ${node}: a batch of ${size.toLocaleString("en")}, ms`, ours };
  }),
];

const SETTINGS: EtlSettings = {
  ...{ operators: [{ code: "price" }], format: "json", to: "same-kafka", deadLetters: "same-kafka" },
  ...{ places: "stream", remembered: 1, tries: 5, objects: { prefix: "", gzip: false }, user: {} },
};

async function bundled(target: Node["target"], folder: string): Promise<string> {
  const port = pathOf("../../lib/runtime/kafka/port.ts");
  const { file } = await bundle({
    ...{ handler: { id: "etl/consume" }, code: { price: { file: pathOf("price.ts") } }, settings: SETTINGS },
    ...{ entry: pathOf("handler-entry.ts"), exports: "handler", outdir: join(folder, target), install: [], target },
    ports: { source: port, to: port, deadLetters: port },
  });
  return file;
}

async function callsOf(
  kafka: KafkaWorld,
  node: string,
  file: string,
  { rounds, round }: Pick<LatencyOptions, "rounds"> & { readonly round: number },
): Promise<Calls> {
  const [source, to, dead] = await Promise.all([1, PARTITIONS, 1].map((partitions) => kafka.topic(partitions)));
  const address = (topic: string) => ({
    ...{ kind: "stream", part: topic, topic, brokers: kafka.server.broker, tls: "false", group: `${topic}-${round}` },
  });
  const job = {
    stream: source!,
    links: { source: address(source!), to: address(to!), deadLetters: address(dead!) },
    value: orderAt(1),
    // The smallest first: what comes first warms the process up for what comes after it.
    batches: Array.from({ length: rounds }, () => SIZES).flat(),
  };
  const { stdout } = await promisify(execFile)(node, [pathOf("handler-calls.mjs"), file, JSON.stringify(job)], {
    timeout: 300_000,
  });
  return JSON.parse(stdout) as Calls;
}
