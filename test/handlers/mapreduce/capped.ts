/**
 * A map and a reduce over JSON lines that are made as they are read, in a process whose heap is capped:
 * `node --max-old-space-size=<MB> capped.ts <MB of input>`. Says what it counted and the most memory it held, in MB.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { handler as gather } from "../../../lib/handlers/mapreduce/gather.ts";
import { handler as map } from "../../../lib/handlers/mapreduce/map.ts";
import { handler as reduce } from "../../../lib/handlers/mapreduce/reduce.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import type { BucketReader, GetOptions } from "../../../lib/runtime/ports.ts";
import { bucketPlan } from "../../clouds/local/plans.ts";

const MB = 2 ** 20;
const size = Number(process.argv[2]) * MB;
const LINE = 128;

/** All of one length; there are 32,768 keys. */
function lineOf(index: number): string {
  const head = `{"key":"k${index % 32_768}","text":"`;
  return `${head}${"x".repeat(LINE - head.length - 3)}"}\n`;
}

const input: BucketReader = {
  bucket: "input",
  async get(_, { range: [first, last] = [0, 0] }: GetOptions = {}) {
    const from = Math.floor(first / LINE);
    const lines: string[] = [];
    for (let line = from; line * LINE <= last; line += 1) lines.push(lineOf(line));
    return Buffer.from(lines.join("")).subarray(first - from * LINE, last + 1 - from * LINE);
  },
  head: async () => undefined,
  stream: () => Promise.reject(new Error("not used here")),
  file: () => Promise.reject(new Error("not used here")),
  list: () => Promise.reject(new Error("not used here")),
};

const folder = mkdtempSync(join(tmpdir(), "millrace-capped-"));
const journal = new Journal(folder);
const buckets = new Buckets({ journal, clock: systemClock, onCreated: () => {} });
const bucket = (name: string) => {
  buckets.define(bucketPlan(name));
  return { ...buckets.reader(name), ...buckets.writer(name), ...buckets.remover(name) };
};
const links = { input, work: bucket("work"), outputs: bucket("outputs") };
const world = {
  links,
  run: { id: "run", attempt: 1, deadline: Number.MAX_SAFE_INTEGER, progress() {} },
  signal: new AbortController().signal,
  log: { debug() {}, info() {}, warn() {}, error() {} },
  metrics: { count() {}, gauge() {} },
  clock: systemClock,
  tools: {},
  scratch: folder,
};
const event = <Payload>(payload: Payload) =>
  ({ type: "function.invoked", id: "event", payload, time: "2026-01-01T00:00:00.000Z" }) as const;

function lengthOf(_: string, values: Iterable<string>): number {
  let length = 0;
  for (const value of values) length += value.length;
  return length;
}

try {
  const piece = { key: "object", etag: "etag", size, from: 0, to: size };
  await links.work.put("run/plan.json", JSON.stringify({ objects: 1, size, shards: [[piece]] }));
  const mapper = ({ key, text }: { readonly key: string; readonly text: string }) => [[key, text] as const];
  const { records } = await map(event({ run: "run", shard: 0 }), {
    ...world,
    settings: { format: "jsonl", partitions: 1, skips: 0, buffer: 16 * MB },
    code: { mapper: { mapper } },
  });
  await gather(event({ run: "run" }), { ...world, settings: { skips: 0 }, code: {} });
  const { pairs, keys } = await reduce(event({ run: "run", partition: 0 }), {
    ...world,
    settings: { outputPrefix: "" },
    code: { reducer: { reducer: lengthOf } },
  });
  const memory = Math.round(process.resourceUsage().maxRSS / 1024);
  process.stdout.write(JSON.stringify({ records, pairs, keys, memory }));
} finally {
  journal.close();
  rmSync(folder, { recursive: true, force: true });
}
