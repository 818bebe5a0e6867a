import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import type { Log } from "../../runtime/handler.ts";
import { type Addresses, briefTaskClient } from "../../runtime/tasks/brief-service.ts";
import type { TaskClient } from "../../runtime/tasks/task.ts";
import type { AlicloudWorld, Credentials } from "./runtime/account.ts";
import { taskService } from "./runtime/task-service.ts";

export type { Credentials } from "./runtime/account.ts";

/** The tasks of a deployed stack. */
export interface AlicloudTarget {
  /** The addresses of its parts, by their names: `addresses` of the stack's output `millrace`. */
  readonly addresses: Addresses;
  /** Asked at every request, so that keys may change. */
  readonly credentials: () => Credentials;
  /** The region this program runs in, for internal endpoints. @default it runs elsewhere */
  readonly region?: string;
  /** For what goes on behind the answers. @default nobody reads it */
  readonly log?: Log;
  /** @default the machine's */
  readonly clock?: Clock;
}

/**
 * Submits tasks and looks after them on Alibaba Cloud, from a user's own program: nothing of Pulumi is loaded, and Node
 * 20 will do. Needs the package `tablestore`. Logs are in Log Service; `logs` says where.
 *
 * @example
 * // pulumi stack output --json > stack.json
 * import { readFileSync } from "node:fs";
 * const { addresses } = JSON.parse(readFileSync("stack.json", "utf8")).millrace;
 * const accessKeyId = process.env.ALIBABA_CLOUD_ACCESS_KEY_ID ?? "";
 * const accessKeySecret = process.env.ALIBABA_CLOUD_ACCESS_KEY_SECRET ?? "";
 * const tasks = connectAlicloud({ addresses, credentials: () => ({ accessKeyId, accessKeySecret }) });
 * await tasks.submit("resize-task", { image: "cat.png" }, { id: "cat" });
 */
export function connectAlicloud(target: AlicloudTarget): TaskClient {
  const { addresses, credentials, region, log = silent, clock = systemClock } = target;
  const { signal } = new AbortController();
  const world: AlicloudWorld = { signal, clock, log, files: tmpdir(), credentials, ...(region && { region }) };
  return briefTaskClient(addresses, (address) => taskService(address, world));
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
