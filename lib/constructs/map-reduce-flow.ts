import type { ComponentResourceOptions } from "@pulumi/pulumi";
import type { Handlers } from "../handlers/index.ts";
import type { CommitResult } from "../handlers/mapreduce/commit.ts";
import type {
  CombinerModule,
  GroupProgram,
  MapperModule,
  MapperProgram,
  ReducerModule,
} from "../handlers/mapreduce/user-code.ts";
import { isSame, prefixProblems } from "../parts/bucket.ts";
import type { StepFunction } from "../parts/function.ts";
import {
  type AlarmArgs,
  alarmsFor,
  all,
  type Backoff,
  type Bucket,
  type Code,
  Construct,
  type ConstructArgs,
  type Flow,
  type Given,
  type Machine,
  type Monitor,
  type Program,
  type Ref,
  read,
  remove,
  type Workflow,
  write,
} from "../parts/index.ts";
import { MACHINE_OPTIONS } from "../parts/machine.ts";
import type { Duration } from "../shared/duration.ts";
import type { CsvFormat, OutputFormat, RecordFormat } from "../shared/mapreduce/format.ts";
import { isSql, type Sql } from "../shared/mapreduce/sql.ts";
import { type Problem, unknownOptions, unless, whole } from "../shared/problem.ts";
import { bytesOr, type Size } from "../shared/size.ts";

/**
 * The user's code: a TypeScript file that exports a `mapper`, `combiner` or `reducer`, a program of another kind, or a
 * query of SQL.
 */
export interface MapReduceCode {
  /** Makes pairs of key and value of every record: `export function* mapper(record, context) { yield [key, value]; }`. */
  readonly mapper: Code<MapperModule> | Program<MapperProgram> | Sql;
  /**
   * Makes one value of several of a key before they travel: `export const combiner = (key, values) => value`.
   *
   * @default all values travel
   */
  readonly combiner?: Code<CombinerModule> | Program<GroupProgram>;
  /** Says what all values of a key come to: `export const reducer = (key, values, context) => value`, or a generator. */
  readonly reducer: Code<ReducerModule> | Program<GroupProgram> | Sql;
}

/** Settings of {@link MapReduceFlow}. */
export interface MapReduceFlowArgs extends ConstructArgs, AlarmArgs, MapReduceCode, Machine {
  /** A bucket you have with what is read. @default a new one */
  readonly input?: Bucket;
  /** Objects whose key begins so are read, unless a run names its own beginning. @default all */
  readonly prefix?: string;
  /** Objects whose key ends in one of these are read. @default all */
  readonly suffixes?: readonly `.${string}`[];
  /** How objects are made of records; those that end in `.gz` are inflated. @default "lines" */
  readonly format?: RecordFormat;
  /** A bucket you have for what is made; it may be the input, with prefixes apart. @default a new one */
  readonly output?: Bucket;
  /** How the output is written; Parquet is what a reducer in SQL makes. @default "jsonl" */
  readonly outputFormat?: OutputFormat;
  /** Put before `<run>/part-….jsonl` (or `.parquet`) and `<run>/manifest.json`. @default nothing */
  readonly outputPrefix?: string;
  /**
   * What one mapper reads; larger where a run would have more than 1,000 shards. @default "64 MB", and "128 MB" with a
   * mapper in SQL, which has more to do before its first record
   */
  readonly shardSize?: Size;
  /** Reducers, and objects of the output, at most. @default 8 */
  readonly partitions?: number;
  /** Records that may fail in a run; they are left out and counted. @default 0 */
  readonly skips?: number;
  /** Mappers or reducers at once. @default as many as the cloud gives */
  readonly concurrency?: number;
  /** Longest time of one mapper or reducer. @default "10 minutes" */
  readonly timeout?: Duration;
  /** Tries of each mapper and reducer, the first included. @default 3 */
  readonly attempts?: number;
  readonly backoff?: Backoff;
  /** Of mappers and reducers. @default "1 GB" */
  readonly memory?: Size;
  /** Of mappers and reducers. @default 1 */
  readonly cpu?: number;
  /** For how long a run that failed can be retried: what it has made is kept. @default "3 days" */
  readonly retention?: Duration;
}

/** What a run is started with. */
export interface MapReduceInput {
  /** In place of the construct's. */
  readonly prefix?: string;
}

/**
 * Reads objects record by record, many at once, makes pairs of key and value of them, and says what all values of a
 * key come to.
 *
 *     input ─▶ split ─▶ map ─▶ gather ─▶ reduce ─▶ commit ─▶ output
 *                        └─── work ────────┘
 *
 * A run is started by `start(counts.runs)`, a client or the command line. Its output is `<run>/part-00000.jsonl` and so
 * on, a line `{"key":…,"value":…}` for each value, and at last `<run>/manifest.json` with counts and checksums: the run
 * is complete once that is there. Whatever is tried again, or is at work twice, changes nothing.
 *
 *     millrace buckets put counts-input events.jsonl
 *     millrace flows start counts --id today --wait
 *     millrace flows start counts '{"prefix":"2026/"}'
 *
 * With `sql(…)` in place of mapper or reducer, a line or a row of Parquet is a row of the query. What a query reads
 * lies in the scratch folder: `disk` has to hold a shard of the input, or all pairs of a partition, twice.
 *
 * @example
 * const counts = new MapReduceFlow("counts", {
 *   cloud,
 *   format: "jsonl",
 *   mapper: code<typeof import("./counts.ts")>(new URL("./counts.ts", import.meta.url)),
 *   reducer: code<typeof import("./counts.ts")>(new URL("./counts.ts", import.meta.url)),
 * });
 */
export class MapReduceFlow extends Construct {
  /** Put here what is to be read. */
  readonly input: Bucket;
  /** What was made, by run. */
  readonly output: Bucket;
  /** Start runs of it by a client, or link it: `start(counts.runs)`. */
  readonly runs: Workflow;
  /** Alarms on the first run that fails. */
  readonly alarms: Monitor;

  constructor(name: string, args: MapReduceFlowArgs, opts?: ComponentResourceOptions) {
    super("MapReduceFlow", name, args, opts);

    this.input = args.input ?? this.bucket("input");
    this.output = args.output ?? this.bucket("output");
    const { settings, problems } = settingsOf(name, args, this.input, this.output);
    const steps = this.#steps(args, settings);
    this.runs = this.workflow<MapReduceInput, CommitResult>("flow", {
      steps: (flow, input) => flowOf(flow, input, steps, args),
    });
    this.alarms = this.monitor("alarms", alarmsFor(args, [{ part: this.runs, metric: "failures", above: 0 }]));

    this.build(problems);
  }

  #steps(args: MapReduceFlowArgs, settings: Settings): Steps {
    const { format, prefix, suffixes, shardSize, skips } = settings;
    const work = this.bucket("work", { expires: args.retention ?? "3 days", removable: true });

    return {
      split: this.function<Handlers["mapreduce/split"]>("split", {
        handler: "mapreduce/split",
        links: { input: read(this.input), work: all(read(work), write(work)) },
        settings: { prefix, suffixes, format, shardSize },
        ...COORDINATION,
      }),
      map: this.#map(args, settings, work),
      gather: this.function<Handlers["mapreduce/gather"]>("gather", {
        handler: "mapreduce/gather",
        links: { work: all(read(work), write(work)) },
        settings: { skips },
        ...COORDINATION,
      }),
      reduce: this.#reduce(args, settings, work),
      commit: this.function<Handlers["mapreduce/commit"]>("commit", {
        handler: "mapreduce/commit",
        links: { work: all(read(work), remove(work)), outputs: all(read(this.output), write(this.output)) },
        settings: { outputPrefix: settings.outputPrefix },
        ...COORDINATION,
      }),
    };
  }

  #map(args: MapReduceFlowArgs, settings: Settings, work: Bucket): Steps["map"] {
    const { mapper, combiner, reducer } = args;
    const { format, partitions, skips, buffer, sql } = settings;
    const given = {
      links: { input: read(this.input), work: all(read(work), write(work), remove(work)) },
      ...machineOf(args),
    };
    const shuffle = { format, partitions, skips, buffer };
    const combining = combiner ? { combiner } : {};
    if (isSql(mapper)) {
      return this.function<Handlers["mapreduce/sql/map"]>("map", {
        handler: "mapreduce/sql/map",
        settings: { ...shuffle, ...queryOf(mapper), ...sql, rows: isSql(reducer) },
        code: combining,
        install: DUCKDB,
        ...given,
      });
    }
    const code = { mapper, ...combining };
    if (format === "parquet") {
      return this.function<Handlers["mapreduce/sql/rows"]>("map", {
        handler: "mapreduce/sql/rows",
        settings: { ...shuffle, ...sql },
        code,
        install: DUCKDB,
        ...given,
      });
    }
    return this.function<Handlers["mapreduce/map"]>("map", {
      handler: "mapreduce/map",
      settings: shuffle,
      code,
      ...given,
    });
  }

  #reduce(args: MapReduceFlowArgs, { outputPrefix, outputFormat, sql }: Settings, work: Bucket): Steps["reduce"] {
    const { reducer } = args;
    const given = {
      links: { work: all(read(work), write(work)), outputs: all(read(this.output), write(this.output)) },
      ...machineOf(args),
    };
    if (!isSql(reducer)) {
      const settings = { outputPrefix };
      return this.function<Handlers["mapreduce/reduce"]>("reduce", {
        handler: "mapreduce/reduce",
        settings,
        code: { reducer },
        ...given,
      });
    }
    return this.function<Handlers["mapreduce/sql/reduce"]>("reduce", {
      handler: "mapreduce/sql/reduce",
      settings: { outputPrefix, outputFormat, ...queryOf(reducer), ...sql },
      install: DUCKDB,
      ...given,
    });
  }
}

const queryOf = ({ sql, columns = {} }: Sql) => ({ sql, columns });

/** Beside the bundle of what runs SQL, or reads Parquet: it is native. https://www.npmjs.com/package/@duckdb/node-api */
const DUCKDB = ["@duckdb/node-api"];

/** Functions that list and count; how long they take depends on the number of objects and shards. */
const COORDINATION = { timeout: "10 minutes", memory: "1 GB", cpu: 0.5 } as const;

/** As many as the splitter makes. */
const MOST_SHARDS = 1000;
const MOST_PARTITIONS = 1000;

interface Steps {
  readonly split: StepFunction<"mapreduce/split">;
  readonly map: StepFunction<"mapreduce/map">;
  readonly gather: StepFunction<"mapreduce/gather">;
  readonly reduce: StepFunction<"mapreduce/reduce">;
  readonly commit: StepFunction<"mapreduce/commit">;
}

/** Steps get numbers; what they read and make lies in buckets, under the run's id. */
function flowOf(
  flow: Flow,
  input: Ref<MapReduceInput>,
  { split, map, gather, reduce, commit }: Steps,
  { concurrency, attempts, backoff, format }: MapReduceFlowArgs,
): Given<CommitResult> {
  const { run } = flow;
  const atOnce = concurrency === undefined ? {} : { concurrency };
  const tries = { ...(attempts !== undefined && { attempts }), ...(backoff && { backoff }) };
  const { shards, scans } = flow.function("split", split, { run, input }, tries);
  if (hasQuotedNewlines(format)) {
    // Where a quote opens is known only to who has read all that is before it.
    const scan = (each: Flow, { shard }: Ref<{ readonly shard: number }>) => {
      each.function("scan", map, { run, shard, scans: true }, tries);
    };
    flow.forEach("scans", scans, scan, { atMost: MOST_SHARDS, ...atOnce });
    flow.function("borders", gather, { run, scans: true }, tries);
  }
  const mapOne = (each: Flow, { shard }: Ref<{ readonly shard: number }>) => {
    each.function("map", map, { run, shard }, tries);
  };
  flow.forEach("maps", shards, mapOne, { atMost: MOST_SHARDS, ...atOnce });
  const { partitions } = flow.function("gather", gather, { run }, tries);
  const reduceOne = (each: Flow, { partition }: Ref<{ readonly partition: number }>) => {
    each.function("reduce", reduce, { run, partition }, tries);
  };
  flow.forEach("reduces", partitions, reduceOne, { atMost: MOST_PARTITIONS, ...atOnce });
  return flow.function("commit", commit, { run }, tries);
}

const hasQuotedNewlines = (format: RecordFormat = "lines"): boolean =>
  typeof format === "object" && format.csv.quotedNewlines !== false;

/** How mappers and reducers run. */
function machineOf({ timeout = "10 minutes", memory = "1 GB", cpu = 1, disk }: MapReduceFlowArgs) {
  return { timeout, memory, cpu, ...(disk !== undefined && { disk }) };
}

/** A mapper's pairs are held in that share of its memory, and what DuckDB works on in that one. */
const BUFFER_SHARE = 1 / 8;
const DUCKDB_SHARE = 5 / 8;

type Settings = ReturnType<typeof settingsOf>["settings"];

/** The settings the functions get, and all that is wrong with what was given. */
function settingsOf(name: string, args: MapReduceFlowArgs, input: Bucket, output: Bucket) {
  const { prefix = "", suffixes = [], format = "lines", outputPrefix = "", outputFormat = "jsonl" } = args;
  const { shardSize = isSql(args.mapper) ? "128 MB" : "64 MB" } = args;
  const { partitions = 8, skips = 0, memory = "1 GB", cpu = 1 } = args;
  const problems: Problem[] = [
    ...unknownOptions(name, args, OPTIONS),
    ...formatProblems(`${name}.format`, format),
    ...sqlProblems(name, args, format, outputFormat),
    ...prefixProblems(`${name}.prefix`, prefix),
    ...prefixProblems(`${name}.outputPrefix`, outputPrefix),
    ...suffixes.flatMap((suffix, index) =>
      unless(/^\.[^/]+$/.test(suffix), {
        path: `${name}.suffixes[${index}]`,
        message: "an ending begins with a dot",
        given: suffix,
        allowed: 'such as ".jsonl"',
      }),
    ),
    ...unless(!(isSame(input, output) && outputPrefix.startsWith(prefix)), {
      path: `${name}.outputPrefix`,
      message: `input and output are one bucket: what is made under "${outputPrefix}" would be read by the next run, since all under "${prefix}" is`,
      given: outputPrefix,
      allowed: 'a prefix outside the input\'s, such as prefix: "in/" and outputPrefix: "out/"',
    }),
    ...whole(`${name}.partitions`, partitions, 1, MOST_PARTITIONS),
    ...whole(`${name}.skips`, skips, 0, Number.MAX_SAFE_INTEGER),
    ...sizeProblems(`${name}.shardSize`, shardSize),
  ];
  const settings = {
    ...{ prefix, suffixes, format, outputPrefix, outputFormat, partitions, skips },
    shardSize: bytesOr(shardSize, 1),
    buffer: Math.floor(bytesOr(memory, 1) * BUFFER_SHARE),
    sql: { memory: Math.floor(bytesOr(memory, 1) * DUCKDB_SHARE), threads: Math.max(1, Math.floor(cpu)) },
  };
  return { settings, problems };
}

const LEAST_SHARD = 64 * 2 ** 10;

function sizeProblems(path: string, given: Size): readonly Problem[] {
  const bytes = bytesOr(given, 0);
  return unless(bytes >= LEAST_SHARD, { path, message: "a shard has some size", given, allowed: '"64 KB" or more' });
}

const CSV_OPTIONS = { delimiter: true, columns: true, quotedNewlines: true } satisfies Readonly<
  Record<keyof CsvFormat, true>
>;

function formatProblems(path: string, format: RecordFormat): readonly Problem[] {
  if (format === "lines" || format === "jsonl" || format === "parquet") return [];
  const csv: CsvFormat | undefined = typeof format === "object" && format !== null ? format.csv : undefined;
  if (typeof csv !== "object" || csv === null || Object.keys(format).length > 1) {
    return [
      {
        path,
        message: "there is no such format",
        given: format,
        allowed: '"lines", "jsonl", "parquet" or { csv: {} }',
      },
    ];
  }
  const { delimiter = ",", columns } = csv;
  return [
    ...unknownOptions(`${path}.csv`, csv, CSV_OPTIONS),
    ...unless(delimiter.length === 1 && delimiter.charCodeAt(0) < 0x7f && !'"\r\n'.includes(delimiter), {
      path: `${path}.csv.delimiter`,
      message: "a delimiter is one character",
      given: delimiter,
      allowed: "an ASCII character that is no quote and no line break",
    }),
    ...unless(columns === undefined || (columns.length > 0 && new Set(columns).size === columns.length), {
      path: `${path}.csv.columns`,
      message: "columns have names, each its own",
      given: columns,
    }),
  ];
}

/** With less, DuckDB has no room for its own buffers. */
const LEAST_MEMORY = 512 * 2 ** 20;
const SQL_OPTIONS = { sql: true, columns: true } satisfies Readonly<Record<keyof Sql, true>>;

function sqlProblems(
  name: string,
  { mapper, combiner, reducer, memory = "1 GB" }: MapReduceFlowArgs,
  format: RecordFormat,
  outputFormat: OutputFormat,
): readonly Problem[] {
  const queries = Object.entries({ mapper, reducer }).filter((entry): entry is [string, Sql] => isSql(entry[1]));
  const needsDuck = queries.length > 0 || format === "parquet";
  return [
    ...queries.flatMap(([role, query]) => [
      ...unknownOptions(`${name}.${role}`, query, SQL_OPTIONS),
      ...unless(query.sql.trim() !== "", {
        path: `${name}.${role}.sql`,
        message: "a query is wanted",
        given: query.sql,
        allowed: "one SELECT",
      }),
    ]),
    ...unless(!isSql(mapper) || format !== "jsonl" || Object.keys(mapper.columns ?? {}).length > 0, {
      path: `${name}.mapper.columns`,
      message: "the fields of JSON lines that the query reads are named, with their types",
      allowed: 'such as { user: "VARCHAR", amount: "BIGINT" }',
    }),
    ...unless(!(isSql(mapper) && isSql(reducer) && combiner), {
      path: `${name}.combiner`,
      message: "rows go from query to query as they are: what is to be combined early, the mapper's query groups",
    }),
    ...unless(outputFormat === "jsonl" || outputFormat === "parquet", {
      path: `${name}.outputFormat`,
      message: "there is no such format",
      given: outputFormat,
      allowed: '"jsonl" or "parquet"',
    }),
    ...unless(outputFormat !== "parquet" || isSql(reducer), {
      path: `${name}.outputFormat`,
      message: "the columns of Parquet and their types are those of a query: only a reducer in SQL has them",
      given: outputFormat,
      allowed: '"jsonl", or reducer: sql("SELECT … FROM pairs")',
    }),
    ...unless(!needsDuck || bytesOr(memory, LEAST_MEMORY) >= LEAST_MEMORY, {
      path: `${name}.memory`,
      message: "DuckDB, which runs SQL and reads Parquet, needs some memory",
      given: memory,
      allowed: '"512 MB" or more',
    }),
  ];
}

const OPTIONS = {
  cloud: true,
  id: true,
  notify: true,
  mapper: true,
  combiner: true,
  reducer: true,
  input: true,
  prefix: true,
  suffixes: true,
  format: true,
  output: true,
  outputFormat: true,
  outputPrefix: true,
  shardSize: true,
  partitions: true,
  skips: true,
  concurrency: true,
  timeout: true,
  attempts: true,
  backoff: true,
  retention: true,
  ...MACHINE_OPTIONS,
} satisfies Readonly<Record<keyof MapReduceFlowArgs, true>>;
