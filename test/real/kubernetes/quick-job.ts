import { start as startJob } from "../../../lib/clouds/kubernetes/runtime/job.ts";
import type { Deployment } from "../../../lib/runtime/deployment.ts";
import { clockOf } from "./quick-clock.ts";

/** A worker on the test's clock. */
export const start = (deployment: Deployment): Promise<void> =>
  startJob(deployment, {
    variables: process.env,
    clock: clockOf(process.env),
    write: (line) => void process.stdout.write(`${line}\n`),
  });
