import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/handler.ts";
import type { DeployedSystem } from "../../runtime/system.ts";
import { type Addresses, briefTaskClient, partAddress } from "../../runtime/tasks/brief-service.ts";
import type { TaskClient } from "../../runtime/tasks/task.ts";
import type { WorkflowClient } from "../../runtime/workflows/run.ts";
import type { AlicloudWorld, Credentials } from "./runtime/account.ts";
import { port as ossPort } from "./runtime/oss.ts";
import { port as smqPort } from "./runtime/smq.ts";
import { taskService } from "./runtime/task-service.ts";
import { CloudFlow } from "./runtime/workflow.ts";

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
 * 20 will do. Needs the package `tablestore`, and to read logs the permission `log:GetLogStoreLogs`. Log lines come some
 * seconds after they were written.
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
  const world = worldOf(target);
  return briefTaskClient(target.addresses, (address) => taskService(address, world));
}

/**
 * A whole deployed stack from outside: its tasks, workflows, buckets and queues.
 *
 * @param target `credentials`: by default ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and, for
 * temporary keys, ALIBABA_CLOUD_SECURITY_TOKEN of the environment
 */
export function openAlicloud(
  target: Omit<AlicloudTarget, "credentials"> & Partial<Pick<AlicloudTarget, "credentials">>,
): DeployedSystem {
  const { addresses, credentials = environmentCredentials } = target;
  const whole = { ...target, credentials };
  const world = worldOf(whole);
  return {
    tasks: connectAlicloud(whole),
    workflows: workflowClient(addresses, (name) => new CloudFlow(partAddress(addresses, "workflow", name), world)),
    bucket: async (name) => ossPort(partAddress(addresses, "bucket", name), world),
    queue: async (name) => smqPort(partAddress(addresses, "queue", name), world),
    close: async () => {},
  };
}

/** Runs of the stack's workflows; a callback is asked for in each of them that asks anybody. */
function workflowClient(addresses: Addresses, open: (workflow: string) => CloudFlow): WorkflowClient {
  return {
    start: async (workflow, input, { id = randomUUID() } = {}) => open(workflow).start(id, input),
    get: async (workflow, id) => open(workflow).get(id),
    list: async (workflow, filter) => open(workflow).list(filter),
    stop: async (workflow, id) => open(workflow).stop(id),
    retry: async (workflow, id) => open(workflow).retry(id),
    answer: async (callback, answer) => {
      const run = callback.split("/")[0]!;
      for (const [name, { kind, table }] of Object.entries(addresses)) {
        if (kind !== "workflow" || table === undefined) continue;
        const workflow = open(name);
        if (await workflow.has(run)) return workflow.answer(callback, answer);
      }
      throw new MillraceError("not-found", `no run waits for the answer to ${callback}`);
    },
  };
}

function environmentCredentials(): Credentials {
  const get = (name: string): string => {
    const value = process.env[name];
    if (value) return value;
    throw new MillraceError("refused", `${name} is not set: Alibaba Cloud asks for an access key's id and secret`);
  };
  const token = process.env.ALIBABA_CLOUD_SECURITY_TOKEN;
  return {
    accessKeyId: get("ALIBABA_CLOUD_ACCESS_KEY_ID"),
    accessKeySecret: get("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
    ...(token && { securityToken: token }),
  };
}

function worldOf({ credentials, region, log = silent, clock = systemClock }: AlicloudTarget): AlicloudWorld {
  const { signal } = new AbortController();
  return { signal, clock, log, files: tmpdir(), credentials, ...(region && { region }) };
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
