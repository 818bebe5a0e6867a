import { local } from "../../../lib/clouds/local/index.ts";
import { AsyncTask, Construct, type ConstructArgs, code } from "../../../lib/index.ts";

class Outbox extends Construct {
  constructor(name: string, args: ConstructArgs) {
    super("Outbox", name, args);
    this.queue("late", { delay: "1 day" });
    this.build();
  }
}

const cloud = local();

/** Wants more than clouds give. */
new AsyncTask("greedy", {
  cloud,
  handler: code<typeof import("../../../examples/async-task/report.ts")>(
    new URL("../../../examples/async-task/report.ts", import.meta.url),
  ),
  timeout: "30 hours",
  memory: "900 GB",
});
new Outbox("outbox", { cloud });

export const millrace = cloud.output;
