import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { type CommitResult, handler as commit, type Manifest } from "../../../lib/handlers/mapreduce/commit.ts";
import { handler as gather } from "../../../lib/handlers/mapreduce/gather.ts";
import { type MapCode, handler as map } from "../../../lib/handlers/mapreduce/map.ts";
import { type ReduceCode, handler as reduce } from "../../../lib/handlers/mapreduce/reduce.ts";
import { handler as split } from "../../../lib/handlers/mapreduce/split.ts";
import { handler as sqlMap } from "../../../lib/handlers/mapreduce/sql/map.ts";
import { handler as sqlReduce } from "../../../lib/handlers/mapreduce/sql/reduce.ts";
import { handler as rowsMap } from "../../../lib/handlers/mapreduce/sql/rows.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import type { Context } from "../../../lib/runtime/handler.ts";
import type { BucketReader, BucketRemover, BucketWriter } from "../../../lib/runtime/ports.ts";
import type { OutputFormat, RecordFormat } from "../../../lib/shared/mapreduce/format.ts";
import { isSql, type Sql } from "../../../lib/shared/mapreduce/sql.ts";
import { bucketPlan } from "../../clouds/local/plans.ts";

export type Bucket = BucketReader & BucketWriter & BucketRemover;

/** What a flow is told. */
export interface FlowOptions {
  readonly format?: RecordFormat;
  readonly mapper: MapCode["mapper"] | Sql;
  readonly combiner?: MapCode["combiner"];
  readonly reducer: ReduceCode["reducer"] | Sql;
  readonly outputFormat?: OutputFormat;
  readonly prefix?: string;
  readonly suffixes?: readonly string[];
  readonly shardSize?: number;
  readonly partitions?: number;
  readonly skips?: number;
  readonly buffer?: number;
  readonly outputPrefix?: string;
}

export interface World {
  readonly folder: string;
  readonly input: Bucket;
  readonly work: Bucket;
  readonly outputs: Bucket;
  readonly stop: AbortController;
  /** The steps of a run, one by one. */
  readonly steps: ReturnType<typeof stepsOf>;
}

/** Buckets of the local cloud in a folder of their own, and the handlers on them. */
export function world(options: FlowOptions): World {
  const folder = mkdtempSync(join(tmpdir(), "millrace-mapreduce-"));
  const journal = new Journal(folder);
  onTestFinished(() => {
    journal.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const buckets = new Buckets({ journal, clock: systemClock, onCreated: () => {} });
  const bucket = (name: string): Bucket => {
    buckets.define(bucketPlan(name));
    return { ...buckets.reader(name), ...buckets.writer(name), ...buckets.remover(name) };
  };
  const made = {
    folder,
    input: bucket("input"),
    work: bucket("work"),
    outputs: bucket("outputs"),
    stop: new AbortController(),
  };
  return { ...made, steps: stepsOf(made, options) };
}

function stepsOf(made: Omit<World, "steps">, options: FlowOptions) {
  const {
    format = "lines",
    mapper,
    combiner,
    reducer,
    prefix = "",
    suffixes = [],
    outputPrefix = "",
    outputFormat = "jsonl",
  } = options;
  const { shardSize = 2 ** 20, partitions = 3, skips = 0, buffer = 2 ** 24 } = options;
  const links = { input: made.input, work: made.work, outputs: made.outputs };
  let invocations = 0;
  const context = <Settings, Code>(settings: Settings, code: Code): Context<typeof links, Settings, Code> => {
    const scratch = join(made.folder, `scratch-${++invocations}`);
    mkdirSync(scratch);
    return {
      ...{ links, settings, code, scratch },
      run: { id: `step-${invocations}`, attempt: 1, deadline: Number.MAX_SAFE_INTEGER, progress: () => {} },
      signal: made.stop.signal,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      metrics: { count() {}, gauge() {} },
      clock: systemClock,
      tools: {},
    };
  };
  const event = <Payload>(payload: Payload) =>
    ({ type: "function.invoked", id: "event", payload, time: "2026-01-01T00:00:00.000Z" }) as const;
  const duck = { memory: 2 ** 28, threads: 1 };
  const combining = combiner ? { combiner } : {};
  const withWork = <Made extends { readonly links: typeof links }>(made: Made, given: Partial<Bucket>): Made => ({
    ...made,
    links: { ...links, work: { ...links.work, ...given } },
  });
  const shuffle = { format, partitions, skips, buffer };
  return {
    split: (run: string, input?: unknown) =>
      split(event({ run, input }), context({ prefix, suffixes, format, shardSize }, {})),
    map: (run: string, shard: number, scans = false, given: Partial<Bucket> = {}) => {
      const request = event({ run, shard, scans });
      if (isSql(mapper)) {
        const query = { sql: mapper.sql, columns: mapper.columns ?? {}, rows: isSql(reducer), ...duck };
        return sqlMap(request, withWork(context({ ...shuffle, ...query }, combining), given));
      }
      const code = { mapper, ...combining };
      if (format === "parquet") return rowsMap(request, withWork(context({ ...shuffle, ...duck }, code), given));
      return map(request, withWork(context(shuffle, code), given));
    },
    gather: (run: string, scans = false) => gather(event({ run, scans }), context({ skips }, {})),
    reduce: (run: string, partition: number, given: Partial<Bucket> = {}) => {
      const request = event({ run, partition });
      if (isSql(reducer)) {
        const query = { sql: reducer.sql, columns: reducer.columns ?? {}, ...duck };
        return sqlReduce(request, withWork(context({ outputPrefix, outputFormat, ...query }, {}), given));
      }
      return reduce(request, withWork(context({ outputPrefix }, { reducer }), given));
    },
    commit: (run: string) => commit(event({ run }), context({ outputPrefix }, {})),
  };
}

/** A whole run, step by step, as the workflow does them. */
export async function runAll({ steps }: World, run = "run"): Promise<CommitResult> {
  const { shards, scans } = await steps.split(run);
  if (scans.length > 0) {
    for (const { shard } of scans) await steps.map(run, shard, true);
    await steps.gather(run, true);
  }
  for (const { shard } of shards) await steps.map(run, shard);
  const { partitions } = await steps.gather(run);
  for (const { partition } of partitions) await steps.reduce(run, partition);
  return steps.commit(run);
}

export const manifestOf = async ({ outputs }: World, { manifest }: Pick<CommitResult, "manifest">): Promise<Manifest> =>
  JSON.parse(new TextDecoder().decode(await outputs.get(manifest))) as Manifest;

/** All output pairs of a run, by their keys. */
export async function outputOf(made: World, result: Pick<CommitResult, "manifest">): Promise<Record<string, unknown>> {
  const { parts } = await manifestOf(made, result);
  const texts = await Promise.all(parts.map(async ({ key }) => new TextDecoder().decode(await made.outputs.get(key))));
  const lines = texts.flatMap((text) => text.split("\n").slice(0, -1));
  const pairs = lines.map((line) => JSON.parse(line) as { readonly key: string; readonly value: unknown });
  return Object.fromEntries(pairs.map(({ key, value }) => [key, value]));
}

/** Everything in a bucket, by key. */
export const keysIn = async (bucket: BucketReader): Promise<readonly string[]> =>
  (await bucket.list()).objects.map(({ key }) => key);
