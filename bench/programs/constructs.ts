import { local } from "../../lib/clouds/local/index.ts";
import { AsyncTask, code } from "../../lib/index.ts";

const cloud = local();
const handler = code<typeof import("./noop.ts")>(new URL("./noop.ts", import.meta.url));

for (let index = 0; index < Number(process.env.BENCH_COUNT); index += 1) {
  new AsyncTask(`task-${index}`, { cloud, handler });
}

export const millrace = cloud.output;
