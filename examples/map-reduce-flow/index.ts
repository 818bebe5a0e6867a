import { local } from "../../lib/clouds/local/index.ts";
import { code, MapReduceFlow } from "../../lib/index.ts";
import * as ordersSql from "./orders.ts";

/**
 * Four jobs on files. `npx millrace dev examples/map-reduce-flow/index.ts` runs them here, with `@duckdb/node-api` for the
 * last; in another terminal, for each:
 *
 *     npx millrace buckets put counts-input events.jsonl
 *     npx millrace flows start counts --id today --wait
 *     npx millrace buckets get counts-output today/part-00000.jsonl -
 */
const cloud = local();

const countsCode = code<typeof import("./counts.ts")>(new URL("./counts.ts", import.meta.url));
/** How often what happened, from JSON lines such as `{"type":"login"}`. */
export const counts = new MapReduceFlow("counts", {
  cloud,
  format: "jsonl",
  mapper: countsCode,
  combiner: countsCode,
  reducer: countsCode,
  partitions: 2,
});

const wordsCode = code<typeof import("./words.ts")>(new URL("./words.ts", import.meta.url));
/** How often each word is in texts. */
export const words = new MapReduceFlow("words", {
  cloud,
  suffixes: [".txt", ".txt.gz"],
  mapper: wordsCode,
  combiner: wordsCode,
  reducer: wordsCode,
  shardSize: "1 MB",
  partitions: 3,
});

const sessionsCode = code<typeof import("./sessions.ts")>(new URL("./sessions.ts", import.meta.url));
/** When users came and went, from access logs as CSV with the columns `user`, `time` and `path`. */
export const sessions = new MapReduceFlow("sessions", {
  cloud,
  format: { csv: {} },
  mapper: sessionsCode,
  reducer: sessionsCode,
  skips: 10,
  shardSize: "256 KB",
  partitions: 2,
});

/** CSV becomes Parquet, by country and in order, in SQL. */
export const orders = new MapReduceFlow("orders", {
  cloud,
  format: { csv: {} },
  mapper: ordersSql.mapper,
  reducer: ordersSql.reducer,
  outputFormat: "parquet",
  skips: 100,
  shardSize: "256 KB",
  partitions: 2,
});

export const millrace = cloud.output;
