import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/handler.ts";
import { type Addresses, briefTaskClient } from "../../runtime/tasks/brief-service.ts";
import type { TaskClient } from "../../runtime/tasks/task.ts";
import type { AwsCredentials, AwsWorld } from "./runtime/account.ts";
import { taskService } from "./runtime/task-service.ts";

export type { AwsCredentials } from "./runtime/account.ts";

/** The tasks of a deployed stack. */
export interface AwsTarget {
  /** The addresses of its parts, by their names: `addresses` of the stack's output `millrace`. */
  readonly addresses: Addresses;
  /** @default the SDK's own chain: environment, shared files, container, instance */
  readonly credentials?: () => Promise<AwsCredentials>;
  /** The region this program runs in. @default it runs elsewhere */
  readonly region?: string;
  /** For what goes on behind the answers. @default nobody reads it */
  readonly log?: Log;
  /** @default the machine's */
  readonly clock?: Clock;
}

/**
 * Submits tasks and looks after them on AWS, from a user's own program: nothing of Pulumi is loaded, and Node 20 will
 * do. Needs the packages `@aws-sdk/client-cloudwatch-logs`, `-dynamodb`, `-lambda`, `-s3`, `-sfn` and `-sqs`. Log
 * lines come some seconds after they were written.
 *
 * @example
 * // pulumi stack output --json > stack.json
 * import { readFileSync } from "node:fs";
 * const { addresses } = JSON.parse(readFileSync("stack.json", "utf8")).millrace;
 * const tasks = connectAws({ addresses });
 * await tasks.submit("resize-task", { image: "cat.png" }, { id: "cat" });
 */
export function connectAws(target: AwsTarget): TaskClient {
  const world = worldOf(target);
  return briefTaskClient(target.addresses, (address) => taskService(address, world));
}

function worldOf({ credentials, region, log = silent, clock = systemClock }: AwsTarget): AwsWorld {
  const { signal } = new AbortController();
  return {
    signal,
    clock,
    log,
    files: tmpdir(),
    ...(credentials && { credentials }),
    ...(region !== undefined && { region }),
  };
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
