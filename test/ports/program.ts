import { local } from "../../lib/clouds/local/index.ts";
import { Construct, code } from "../../lib/index.ts";

const work = code<typeof import("./work.ts")>(new URL("./work.ts", import.meta.url));

/** The tasks and queues that the suite of tasks wants, named as it names them. */
class Tasks extends Construct {
  constructor() {
    super("Tasks", "tasks", { cloud: local() });
    const spec = {
      handler: work,
      timeout: "1 minute",
      grace: "2 seconds",
      backoff: { first: "0.05 seconds", factor: 1, longest: "0.05 seconds" },
      onSuccess: this.queue("successes"),
      onFailure: this.queue("failures"),
    } as const;
    this.task("work", spec);
    this.task("single", { ...spec, concurrency: 1 });
    this.build();
  }
}

new Tasks();
