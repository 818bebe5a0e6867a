import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cloud, Construct, code } from "../../lib/parts/index.ts";

const work = code<typeof import("./work.ts")>(new URL("./work.ts", import.meta.url));

/** The tasks and queues that the suite of tasks wants, named as it names them. */
export class ConformanceTasks extends Construct {
  constructor(cloud: Cloud) {
    super("Tasks", "tasks", { cloud });
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

/** Does something that bundles, in a folder of its own. */
export async function inFolder<Result>(work: () => Promise<Result>): Promise<Result> {
  const before = process.cwd();
  const folder = await mkdtemp(join(tmpdir(), "millrace-bundles-"));
  process.chdir(folder);
  try {
    return await work();
  } finally {
    process.chdir(before);
    await rm(folder, { recursive: true, force: true });
  }
}
