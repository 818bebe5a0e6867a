import { insideCluster } from "../../../lib/clouds/kubernetes/runtime/api.ts";
import { start as startKeeper } from "../../../lib/clouds/kubernetes/runtime/keep.ts";
import type { Deployment } from "../../../lib/runtime/deployment.ts";
import { clockOf } from "./quick-clock.ts";

/** A keeper on the test's clock, with its service account in a folder that the test has written. */
export const start = (deployment: Deployment): Promise<void> =>
  startKeeper(deployment, {
    variables: process.env,
    clock: clockOf(process.env),
    write: (line) => void process.stdout.write(`${line}\n`),
    api: (variables) => insideCluster(variables, process.env.SERVICE_ACCOUNT),
  });
