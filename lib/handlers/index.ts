/** Every handler of ours by its id; types only, nothing is loaded. */
export interface Handlers {
  "archive/append": typeof import("./archive/append.ts").handler;
  "archive/append-under-redis": typeof import("./archive/append-under-redis.ts").handler;
  "archive/upload": typeof import("./archive/upload.ts").handler;
  "etl/consume": typeof import("./etl/consume.ts").handler;
  "etl/redrive": typeof import("./etl/redrive.ts").handler;
  "etl/submit": typeof import("./etl/submit.ts").handler;
  "etl/work": typeof import("./etl/work.ts").handler;
  "flows/ask": typeof import("./flows/ask.ts").handler;
  "flows/batch": typeof import("./flows/batch.ts").handler;
  "flows/keep": typeof import("./flows/keep.ts").handler;
  "flows/next": typeof import("./flows/next.ts").handler;
  "flows/task": typeof import("./flows/task.ts").handler;
  "mapreduce/commit": typeof import("./mapreduce/commit.ts").handler;
  "mapreduce/gather": typeof import("./mapreduce/gather.ts").handler;
  "mapreduce/map": typeof import("./mapreduce/map.ts").handler;
  "mapreduce/reduce": typeof import("./mapreduce/reduce.ts").handler;
  "mapreduce/split": typeof import("./mapreduce/split.ts").handler;
  "mapreduce/sql/map": typeof import("./mapreduce/sql/map.ts").handler;
  "mapreduce/sql/reduce": typeof import("./mapreduce/sql/reduce.ts").handler;
  "mapreduce/sql/rows": typeof import("./mapreduce/sql/rows.ts").handler;
  "programs/process": typeof import("./programs/process.ts").handler;
  "tasks/dispatch": typeof import("./tasks/dispatch.ts").handler;
  "tasks/keep": typeof import("./tasks/keep.ts").handler;
  "transfer/commit": typeof import("./transfer/commit.ts").handler;
  "transfer/copy": typeof import("./transfer/copy.ts").handler;
  "transfer/plan": typeof import("./transfer/plan.ts").handler;
  "transfer/start": typeof import("./transfer/start.ts").handler;
  "video/dispatch": typeof import("./video/dispatch.ts").handler;
  "video/slices/clean": typeof import("./video/slices/clean.ts").handler;
  "video/slices/encode": typeof import("./video/slices/encode.ts").handler;
  "video/slices/fail": typeof import("./video/slices/fail.ts").handler;
  "video/slices/plan": typeof import("./video/slices/plan.ts").handler;
  "video/slices/sound": typeof import("./video/slices/sound.ts").handler;
  "video/transcode": typeof import("./video/transcode.ts").handler;
}
export type HandlerId = keyof Handlers;
