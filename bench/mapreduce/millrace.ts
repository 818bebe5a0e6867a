/**
 * A run of ours in one process, on buckets of the local cloud: `millrace.ts <job> <file> <folder> <code|sql>`. Says how
 * many keys.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Buckets } from "../../lib/clouds/local/host/buckets.ts";
import { Journal } from "../../lib/clouds/local/host/journal.ts";
import { handler as commit } from "../../lib/handlers/mapreduce/commit.ts";
import { handler as gather } from "../../lib/handlers/mapreduce/gather.ts";
import { handler as map } from "../../lib/handlers/mapreduce/map.ts";
import { handler as reduce } from "../../lib/handlers/mapreduce/reduce.ts";
import { handler as split } from "../../lib/handlers/mapreduce/split.ts";
import { handler as sqlMap } from "../../lib/handlers/mapreduce/sql/map.ts";
import { handler as sqlReduce } from "../../lib/handlers/mapreduce/sql/reduce.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { JOBS, type JobName, sum, TOTAL } from "./jobs.ts";

const [name, file, folder, kind] = process.argv.slice(2) as [JobName, string, string, "code" | "sql"];
const job = JOBS[name];
const journal = new Journal(join(folder, "cloud"));
const buckets = new Buckets({ journal, clock: systemClock, onCreated: () => {} });
const bucket = (id: string) => {
  const names = { name: id, stem: id, construct: "bench", cloud: "local" };
  buckets.define({ kind: "bucket", ...names, versioned: false, removable: true });
  return { ...buckets.reader(id), ...buckets.writer(id), ...buckets.remover(id) };
};
const links = { input: bucket("input"), work: bucket("work"), outputs: bucket("outputs") };
const scratch = join(folder, "scratch");
mkdirSync(scratch, { recursive: true });
const world = {
  links,
  run: { id: "run", attempt: 1, deadline: Number.MAX_SAFE_INTEGER, progress() {} },
  signal: new AbortController().signal,
  log: { debug() {}, info() {}, warn() {}, error() {} },
  metrics: { count() {}, gauge() {} },
  clock: systemClock,
  tools: {},
  scratch,
};
const event = <Payload>(payload: Payload) =>
  ({ type: "function.invoked", id: "event", payload, time: "2026-01-01T00:00:00.000Z" }) as const;

// The file is there before the clock runs, as the peers' is.
await links.input.putFile("in", file);
const begun = process.cpuUsage();
const began = performance.now();
const { format } = job;
const input = { prefix: "", suffixes: [], format, shardSize: (kind === "sql" ? 128 : 64) * 2 ** 20 };
const { shards } = await split(event({ run: "run" }), { ...world, settings: input, code: {} });
const duck = { memory: 640 * 2 ** 20, threads: 1 };
const MAP = { format, partitions: 8, skips: 0, buffer: 2 ** 27 };
/** Each invocation has its own folder, as it has on every cloud. */
async function invoked<Result>(work: (given: typeof world) => Promise<Result>): Promise<Result> {
  const own = mkdtempSync(join(scratch, "invocation-"));
  try {
    return await work({ ...world, scratch: own });
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}
for (const { shard } of shards) {
  const request = event({ run: "run", shard });
  await invoked((given) =>
    kind === "sql"
      ? sqlMap(request, { ...given, settings: { ...MAP, ...job.query, ...duck, rows: true }, code: {} })
      : map(request, {
          ...given,
          settings: MAP,
          code: { mapper: { mapper: job.mapper }, combiner: { combiner: sum } },
        }),
  );
}
const { partitions } = await gather(event({ run: "run" }), { ...world, settings: { skips: 0 }, code: {} });
for (const { partition } of partitions) {
  const request = event({ run: "run", partition });
  const settings = { outputPrefix: "" };
  await invoked((given) =>
    kind === "sql"
      ? sqlReduce(request, {
          ...given,
          settings: { ...settings, ...TOTAL, ...duck, outputFormat: "jsonl" },
          code: {},
        })
      : reduce(request, { ...given, settings, code: { reducer: { reducer: sum } } }),
  );
}
const { keys } = await commit(event({ run: "run" }), { ...world, settings: { outputPrefix: "" }, code: {} });
const { user, system } = process.cpuUsage(begun);
const cpu = (user + system) / 1e6;
process.stdout.write(JSON.stringify({ keys, cpu, wall: (performance.now() - began) / 1000 }));
journal.close();
