import { local } from "../lib/clouds/local/index.ts";
import { AsyncTask, code } from "../lib/index.ts";

const cloud = local();

new AsyncTask("reports", {
  cloud,
  handler: code<typeof import("../examples/async-task/report.ts")>(
    new URL("../examples/async-task/report.ts", import.meta.url),
  ),
  timeout: "2 hours",
  concurrency: 4,
});

export const millrace = cloud.output;
