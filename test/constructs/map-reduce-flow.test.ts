import { expect, test } from "vitest";
import { MapReduceFlow, type MapReduceFlowArgs } from "../../lib/constructs/map-reduce-flow.ts";
import { Construct, type ConstructArgs } from "../../lib/parts/construct.ts";
import { code, python } from "../../lib/parts/index.ts";
import type { Bucket } from "../../lib/parts/part.ts";
import type { FunctionPlan, WorkflowPlan } from "../../lib/parts/plan.ts";
import { sql } from "../../lib/shared/mapreduce/sql.ts";
import { formatProblem, ProblemsError } from "../../lib/shared/problem.ts";
import { stepsOf } from "../../lib/shared/workflow/definition.ts";
import { graphOf, recordingCloud } from "../recording.ts";

interface Counts {
  readonly mapper: (record: { readonly type: string }) => Generator<readonly [string, number]>;
  readonly combiner: (key: string, values: Iterable<number>) => number;
  readonly reducer: (key: string, values: Iterable<number>) => number;
}
const COUNTS = code<Counts>("/app/counts.ts");
const CODE = { mapper: COUNTS, combiner: COUNTS, reducer: COUNTS };

/** A bucket of a user's, in a construct of its own. */
class Store extends Construct {
  readonly logs: Bucket;

  constructor(name: string, args: ConstructArgs) {
    super("Store", name, args);
    this.logs = this.bucket("logs");
    this.build();
  }
}

/** A cloud that has workflows, whatever its kind. */
const cloudOf = () => recordingCloud("local");

test("the graph with everything by default", () => {
  const cloud = cloudOf();
  new MapReduceFlow("counts", { cloud, mapper: COUNTS, reducer: COUNTS });
  expect(graphOf(cloud)).toMatchInlineSnapshot(`
    [
      "bucket counts-input",
      "bucket counts-output",
      "bucket counts-work",
      "function counts-split | mapreduce/split | input: bucket.read counts-input | work: bucket.read, bucket.write counts-work",
      "function counts-map | mapreduce/map | input: bucket.read counts-input | work: bucket.read, bucket.write, bucket.remove counts-work",
      "function counts-gather | mapreduce/gather | work: bucket.read, bucket.write counts-work",
      "function counts-reduce | mapreduce/reduce | work: bucket.read, bucket.write counts-work | outputs: bucket.read, bucket.write counts-output",
      "function counts-commit | mapreduce/commit | work: bucket.read, bucket.remove counts-work | outputs: bucket.read, bucket.write counts-output",
      "workflow counts-flow",
      "monitor counts-alarms | counts-flow failures > 0",
    ]
  `);
  const map = cloud.parts.get("counts-map")?.plan;
  expect(map).toMatchObject({
    code: { mapper: { file: "/app/counts.ts" } },
    settings: { format: "lines", partitions: 8, skips: 0, buffer: 2 ** 27 },
    timeout: 600,
    memory: 2 ** 30,
    cpu: 1,
  });
  expect(cloud.parts.get("counts-work")?.plan).toMatchObject({ expires: 3 * 86_400, removable: true });
});

const definitionOf = (args: Partial<MapReduceFlowArgs>) => {
  const cloud = cloudOf();
  new MapReduceFlow("counts", { cloud, ...CODE, ...args });
  return (cloud.parts.get("counts-flow")!.plan as WorkflowPlan).definition;
};

test("the steps carry numbers and the run's id, nothing of the input", () => {
  const definition = definitionOf({ concurrency: 20, attempts: 5 });
  expect(definition).toMatchInlineSnapshot(`
    {
      "output": {
        "$": "step:commit",
      },
      "steps": [
        {
          "attempts": 5,
          "backoff": {
            "factor": 2,
            "first": 1,
            "longest": 300,
          },
          "function": "counts-split",
          "input": {
            "input": {
              "$": "input",
            },
            "run": {
              "$": "run",
            },
          },
          "name": "split",
          "type": "function",
        },
        {
          "atMost": 1000,
          "attempts": 1,
          "backoff": {
            "factor": 2,
            "first": 1,
            "longest": 300,
          },
          "collects": false,
          "concurrency": 20,
          "item": {
            "output": {},
            "steps": [
              {
                "attempts": 5,
                "backoff": {
                  "factor": 2,
                  "first": 1,
                  "longest": 300,
                },
                "function": "counts-map",
                "input": {
                  "run": {
                    "$": "run",
                  },
                  "shard": {
                    "$": "item:maps",
                    "at": [
                      "shard",
                    ],
                  },
                },
                "name": "map",
                "type": "function",
              },
            ],
          },
          "items": {
            "$": "step:split",
            "at": [
              "shards",
            ],
          },
          "name": "maps",
          "tolerated": 0,
          "type": "map",
        },
        {
          "attempts": 5,
          "backoff": {
            "factor": 2,
            "first": 1,
            "longest": 300,
          },
          "function": "counts-gather",
          "input": {
            "run": {
              "$": "run",
            },
          },
          "name": "gather",
          "type": "function",
        },
        {
          "atMost": 1000,
          "attempts": 1,
          "backoff": {
            "factor": 2,
            "first": 1,
            "longest": 300,
          },
          "collects": false,
          "concurrency": 20,
          "item": {
            "output": {},
            "steps": [
              {
                "attempts": 5,
                "backoff": {
                  "factor": 2,
                  "first": 1,
                  "longest": 300,
                },
                "function": "counts-reduce",
                "input": {
                  "partition": {
                    "$": "item:reduces",
                    "at": [
                      "partition",
                    ],
                  },
                  "run": {
                    "$": "run",
                  },
                },
                "name": "reduce",
                "type": "function",
              },
            ],
          },
          "items": {
            "$": "step:gather",
            "at": [
              "partitions",
            ],
          },
          "name": "reduces",
          "tolerated": 0,
          "type": "map",
        },
        {
          "attempts": 5,
          "backoff": {
            "factor": 2,
            "first": 1,
            "longest": 300,
          },
          "function": "counts-commit",
          "input": {
            "run": {
              "$": "run",
            },
          },
          "name": "commit",
          "type": "function",
        },
      ],
    }
  `);
});

test("CSV with line breaks in quotes is scanned before, other CSV is not", () => {
  const stepsWith = (csv: object) => stepsOf(definitionOf({ format: { csv } })).map(({ name }) => name);
  expect(stepsWith({})).toEqual([
    ...["split", "scans", "scan", "borders"],
    ...["maps", "map", "gather", "reduces", "reduce", "commit"],
  ]);
  expect(stepsWith({ quotedNewlines: false })).toEqual([
    "split",
    "maps",
    "map",
    "gather",
    "reduces",
    "reduce",
    "commit",
  ]);
});

test("buckets a user has, Python in place of TypeScript, settings in bytes", () => {
  const cloud = cloudOf();
  const { logs } = new Store("store", { cloud });
  new MapReduceFlow("sessions", {
    cloud,
    input: logs,
    output: logs,
    prefix: "in/",
    outputPrefix: "out/",
    suffixes: [".csv", ".csv.gz"],
    format: { csv: { delimiter: ";" } },
    mapper: python("/app/operators", "sessions:hits"),
    reducer: COUNTS,
    shardSize: "1 MB",
    partitions: 3,
    memory: "512 MB",
    notify: "nobody",
  });
  expect(graphOf(cloud)).toMatchInlineSnapshot(`
    [
      "bucket store-logs",
      "bucket sessions-work",
      "function sessions-split | mapreduce/split | input: bucket.read store-logs | work: bucket.read, bucket.write sessions-work",
      "function sessions-map-mapper | programs/process",
      "function sessions-map | mapreduce/map | input: bucket.read store-logs | work: bucket.read, bucket.write, bucket.remove sessions-work | $code.mapper: function.invoke sessions-map-mapper",
      "function sessions-gather | mapreduce/gather | work: bucket.read, bucket.write sessions-work",
      "function sessions-reduce | mapreduce/reduce | work: bucket.read, bucket.write sessions-work | outputs: bucket.read, bucket.write store-logs",
      "function sessions-commit | mapreduce/commit | work: bucket.read, bucket.remove sessions-work | outputs: bucket.read, bucket.write store-logs",
      "workflow sessions-flow",
      "monitor sessions-alarms",
    ]
  `);
  expect(cloud.parts.get("sessions-split")?.plan).toMatchObject({
    settings: { prefix: "in/", suffixes: [".csv", ".csv.gz"], format: { csv: { delimiter: ";" } }, shardSize: 2 ** 20 },
  });
  expect(cloud.parts.get("sessions-map")?.plan).toMatchObject({ memory: 2 ** 29, settings: { buffer: 2 ** 26 } });
});

const refusalsOf = (args: object): readonly string[] => {
  const cloud = cloudOf();
  try {
    new MapReduceFlow("counts", { cloud, ...CODE, ...args });
  } catch (error) {
    if (error instanceof ProblemsError) return error.problems.map(formatProblem);
    throw error;
  }
  return [];
};

test("what cannot work is refused, all at once", () => {
  expect(
    refusalsOf({
      partition: 3,
      partitions: 0,
      skips: -1,
      shardSize: "1 KB",
      prefix: "/in",
      suffixes: ["csv"],
      format: { csv: { delimiter: "||", columns: ["a", "a"], header: true } },
    }),
  ).toMatchInlineSnapshot(`
    [
      "counts.partition: there is no such option",
      "counts.format.csv.header: there is no such option",
      "counts.format.csv.delimiter: a delimiter is one character (given "||"; allowed: an ASCII character that is no quote and no line break)",
      "counts.format.csv.columns: columns have names, each its own (given ["a","a"])",
      "counts.prefix: a prefix of keys has no slash at its start, no . or .. as folders, no backslash or control character (given "/in"; allowed: such as "in/")",
      "counts.suffixes[0]: an ending begins with a dot (given "csv"; allowed: such as ".jsonl")",
      "counts.partitions: a whole number is wanted (given 0; allowed: 1 to 1000)",
      "counts.skips: a whole number is wanted (given -1; allowed: 0 or more)",
      "counts.shardSize: a shard has some size (given "1 KB"; allowed: "64 KB" or more)",
    ]
  `);
  expect(refusalsOf({ format: "xml" })).toMatchInlineSnapshot(`
    [
      "counts.format: there is no such format (given "xml"; allowed: "lines", "jsonl", "parquet" or { csv: {} })",
    ]
  `);
  expect(refusalsOf({ shardSize: "large", timeout: "long" })).toMatchInlineSnapshot(`
    [
      "counts.shardSize: a shard has some size (given "large"; allowed: "64 KB" or more)",
      "counts-map.timeout: a duration is a number and a unit, such as "30 seconds", "15 minutes", "24 hours" or "7 days", got "long"",
      "counts-reduce.timeout: a duration is a number and a unit, such as "30 seconds", "15 minutes", "24 hours" or "7 days", got "long"",
    ]
  `);
});

const QUERY = sql("SELECT type AS key, count(*) AS value FROM records GROUP BY 1", { columns: { type: "VARCHAR" } });
const TOTAL = sql("SELECT key, sum(value) AS value FROM pairs GROUP BY 1");
/** Packages beside a function's bundle. */
const installOf = (plan: unknown) => (plan as FunctionPlan).install;

test("SQL and Parquet are DuckDB's, which is beside the bundles that need it and no others", () => {
  const cloud = cloudOf();
  new MapReduceFlow("queries", {
    cloud,
    format: "jsonl",
    mapper: QUERY,
    reducer: TOTAL,
    outputFormat: "parquet",
    memory: "2 GB",
    cpu: 2.5,
  });
  new MapReduceFlow("mixed", { cloud, format: "jsonl", mapper: QUERY, combiner: COUNTS, reducer: COUNTS });
  new MapReduceFlow("rows", { cloud, format: "parquet", ...CODE });
  const plan = (name: string) => cloud.parts.get(name)?.plan;
  const duck = { memory: 1.25 * 2 ** 30, threads: 2 };
  expect(plan("queries-map")).toMatchObject({
    handler: { id: "mapreduce/sql/map" },
    settings: { sql: QUERY.sql, columns: { type: "VARCHAR" }, rows: true, ...duck },
    code: {},
  });
  expect(plan("queries-reduce")).toMatchObject({
    handler: { id: "mapreduce/sql/reduce" },
    settings: { sql: TOTAL.sql, columns: {}, outputFormat: "parquet", ...duck },
  });
  expect(plan("mixed-map")).toMatchObject({
    settings: { rows: false },
    code: { combiner: { file: "/app/counts.ts" } },
  });
  expect(plan("rows-map")).toMatchObject({ handler: { id: "mapreduce/sql/rows" }, settings: { format: "parquet" } });
  const shardSizes = ["queries", "rows"].map((name) => (plan(`${name}-split`) as FunctionPlan).settings);
  expect(shardSizes).toMatchObject([{ shardSize: 128 * 2 ** 20 }, { shardSize: 64 * 2 ** 20 }]);
  const installed = [...cloud.parts.values()].flatMap(({ plan }) =>
    plan.kind === "function" && installOf(plan).length > 0 ? [[plan.name, ...installOf(plan)].join(" ")] : [],
  );
  expect(installed).toEqual(
    ["queries-map", "queries-reduce", "mixed-map", "rows-map"].map((name) => `${name} @duckdb/node-api`),
  );
});

test("what SQL cannot do is refused", () => {
  expect(
    refusalsOf({
      format: "jsonl",
      mapper: sql(" "),
      reducer: { ...TOTAL, column: {} },
      combiner: COUNTS,
      outputFormat: "csv",
      memory: "256 MB",
    }),
  ).toMatchInlineSnapshot(`
    [
      "counts.mapper.sql: a query is wanted (given " "; allowed: one SELECT)",
      "counts.reducer.column: there is no such option",
      "counts.mapper.columns: the fields of JSON lines that the query reads are named, with their types (allowed: such as { user: "VARCHAR", amount: "BIGINT" })",
      "counts.combiner: rows go from query to query as they are: what is to be combined early, the mapper's query groups",
      "counts.outputFormat: there is no such format (given "csv"; allowed: "jsonl" or "parquet")",
      "counts.memory: DuckDB, which runs SQL and reads Parquet, needs some memory (given "256 MB"; allowed: "512 MB" or more)",
    ]
  `);
  expect(refusalsOf({ outputFormat: "parquet" })).toMatchInlineSnapshot(`
    [
      "counts.outputFormat: the columns of Parquet and their types are those of a query: only a reducer in SQL has them (given "parquet"; allowed: "jsonl", or reducer: sql("SELECT … FROM pairs"))",
    ]
  `);
});

test("one bucket for both is refused where a run would read what another one made", () => {
  const refused = (args: object) => {
    const cloud = cloudOf();
    const { logs } = new Store("store", { cloud });
    return refusalsOf({ cloud, input: logs, output: logs, ...args });
  };
  expect(refused({})).toHaveLength(1);
  expect(refused({ prefix: "in/", outputPrefix: "in/out/" })).toHaveLength(1);
  expect(refused({ prefix: "in/", outputPrefix: "out/" })).toEqual([]);
});

test("types: what is no mapper or reducer does not compile", () => {
  const cloud = cloudOf();
  const other = code<{ readonly handler: () => void }>("/app/x.ts");
  const numbers = code<{ readonly mapper: () => number[] }>("/app/x.ts");
  // None of these is called: the types alone are tried.
  const tried = [
    () => new MapReduceFlow("right", { cloud, ...CODE }),
    // @ts-expect-error a file without a mapper
    () => new MapReduceFlow("wrong", { cloud, mapper: other, reducer: COUNTS }),
    // @ts-expect-error a mapper that yields no pairs
    () => new MapReduceFlow("wrong", { cloud, mapper: numbers, reducer: COUNTS }),
    // @ts-expect-error no reducer
    () => new MapReduceFlow("wrong", { cloud, mapper: COUNTS }),
  ];
  expect(tried).toHaveLength(4);
});
