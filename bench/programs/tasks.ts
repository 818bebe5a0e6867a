import { local } from "../../lib/clouds/local/index.ts";
import { AsyncTask, code } from "../../lib/index.ts";

const cloud = local();

new AsyncTask("noop", { cloud, handler: code<typeof import("./noop.ts")>(new URL("./noop.ts", import.meta.url)) });

export const millrace = cloud.output;
