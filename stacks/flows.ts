import { code, cron, LargeObjectTransfer, MapReduceFlow, python, sql, VideoTranscodePipeline } from "../lib/index.ts";
import { chosenCloud } from "./cloud.ts";

const cloud = await chosenCloud();

const countsCode = code<typeof import("../examples/map-reduce-flow/counts.ts")>(
  new URL("../examples/map-reduce-flow/counts.ts", import.meta.url),
);
/** How often what happened, from JSON lines such as `{"type":"login"}`, in TypeScript. */
const counts = new MapReduceFlow("counts", {
  cloud,
  format: "jsonl",
  mapper: countsCode,
  combiner: countsCode,
  reducer: countsCode,
});

const operators = new URL("../examples/map-reduce-flow/python/", import.meta.url);
/** How often each page was asked for, from access logs, in Python. */
new MapReduceFlow("pages", {
  cloud,
  mapper: python(operators, "pages:mapper"),
  combiner: python(operators, "pages:total"),
  reducer: python(operators, "pages:total"),
  skips: 100,
});

/** Orders from CSV to Parquet, by country, in SQL. */
new MapReduceFlow("orders", {
  cloud,
  format: { csv: {} },
  mapper: sql("SELECT country AS key, id, placed, amount FROM records WHERE amount > 0", {
    columns: { id: "BIGINT", placed: "TIMESTAMP", amount: "DECIMAL(12, 2)" },
  }),
  reducer: sql("SELECT key AS country, * EXCLUDE key FROM pairs ORDER BY country, placed, id"),
  outputFormat: "parquet",
  skips: 100,
});

/** Large videos in slices, which many functions make at once. */
new VideoTranscodePipeline("films", { cloud, formats: ["mp4"], slices: { over: "200 MB" } });

/** What was counted is copied at once, and whatever is missing at four in the morning. */
new LargeObjectTransfer("copies", { cloud, from: counts.output, when: ["upload", cron("0 4 * * *")] });

export const millrace = cloud.output;
