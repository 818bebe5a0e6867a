import { ComponentResource } from "@pulumi/pulumi";
import { local } from "../../lib/clouds/local/index.ts";
import { AsyncTask, code } from "../../lib/index.ts";

const cloud = local();

// A program without any part is refused.
new AsyncTask("only", { cloud, handler: code<typeof import("./noop.ts")>(new URL("./noop.ts", import.meta.url)) });

class Bare extends ComponentResource {
  constructor(name: string) {
    super("bench:index:Bare", name);
    this.registerOutputs();
  }
}

for (let index = 0; index < Number(process.env.BENCH_COUNT); index += 1) new Bare(`bare-${index}`);

export const millrace = cloud.output;
