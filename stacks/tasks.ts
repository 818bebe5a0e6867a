import { AsyncTask, code } from "../lib/index.ts";
import { chosenCloud } from "./cloud.ts";

const cloud = await chosenCloud();

new AsyncTask("reports", {
  cloud,
  handler: code<typeof import("../examples/async-task/report.ts")>(
    new URL("../examples/async-task/report.ts", import.meta.url),
  ),
  timeout: "2 hours",
  concurrency: 4,
});

export const millrace = cloud.output;
