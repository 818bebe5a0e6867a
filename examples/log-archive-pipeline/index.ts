import { local } from "../../lib/clouds/local/index.ts";
import { every, LogArchivePipeline } from "../../lib/index.ts";

/** Here by `npx millrace dev examples/log-archive-pipeline/index.ts`. */
const cloud = local();

/**
 * Lines such as `{"app":"orders","level":"info","message":"…"}`, in files of its own for each application. They are found
 * on the volume at once, and in `logs-archive` once they are uploaded:
 *
 *     npx millrace streams produce logs-lines '{"app":"orders","level":"info","message":"order 17 is paid"}'
 *     npx millrace logs find --app orders --since 1h --grep paid
 *     npx millrace buckets ls logs-archive
 */
export const logs = new LogArchivePipeline("logs", {
  cloud,
  from: { partitions: 12 },
  application: "app",
  files: 10,
  seal: { size: "64 MB", age: "10 minutes" },
  upload: every("5 minutes"),
});

export const millrace = cloud.output;
