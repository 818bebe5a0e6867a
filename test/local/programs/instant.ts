import { local } from "../../../lib/clouds/local/index.ts";
import { AsyncTask, code } from "../../../lib/index.ts";

const cloud = local();

/** Runs that are over before anybody can look. */
new AsyncTask("instant", {
  cloud,
  handler: code<typeof import("./nothing.ts")>(new URL("./nothing.ts", import.meta.url)),
});

export const millrace = cloud.output;
