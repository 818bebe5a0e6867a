import { local } from "../../../lib/clouds/local/index.ts";
import { AsyncTask } from "../../../lib/constructs/async-task.ts";
import { code, python } from "../../../lib/parts/index.ts";
import type { Frame, Score } from "./scores.ts";

const cloud = local();

new AsyncTask("scores", {
  cloud,
  handler: code<typeof import("./scores.ts")>(new URL("./scores.ts", import.meta.url)),
  attempts: 1,
  code: {
    score: python<(frame: Frame) => Promise<Score>>(new URL("./operators/", import.meta.url), "score:frame", {
      timeout: "2 minutes",
    }),
  },
});

export const millrace = cloud.output;
