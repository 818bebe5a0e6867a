import { fileURLToPath } from "node:url";
import { local } from "../../../lib/clouds/local/index.ts";
import { AsyncTask } from "../../../lib/constructs/async-task.ts";
import { code, image } from "../../../lib/parts/index.ts";
import type { Frame, Score } from "./scores.ts";

const cloud = local();
const handler = code<typeof import("./scores.ts")>(new URL("./scores.ts", import.meta.url));
const reference = `registry.example.com/score@sha256:${"0".repeat(64)}`;

new AsyncTask("scores", {
  cloud,
  handler,
  attempts: 1,
  code: {
    score: image<(frame: Frame) => Promise<Score>>(reference, {
      memory: "1 GB",
      local: [process.execPath, fileURLToPath(new URL("./score-server.ts", import.meta.url))],
    }),
  },
});
new AsyncTask("unplaced", {
  cloud,
  handler,
  attempts: 1,
  code: { score: image<(frame: Frame) => Promise<Score>>(reference) },
});

export const millrace = cloud.output;
