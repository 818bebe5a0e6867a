import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/handler.ts";
import type { DeployedSystem } from "../../runtime/system.ts";
import { type Addresses, briefTaskClient, partAddress } from "../../runtime/tasks/brief-service.ts";
import type { TaskClient } from "../../runtime/tasks/task.ts";
import type { WorkflowClient } from "../../runtime/workflows/run.ts";
import type { AwsCredentials, AwsWorld } from "./runtime/account.ts";
import { port as s3Port } from "./runtime/s3.ts";
import { port as sqsPort } from "./runtime/sqs.ts";
import { inspector } from "./runtime/sqs-inspector.ts";
import { taskService } from "./runtime/task-service.ts";
import { type StatesFlow, port as statesPort } from "./runtime/workflow.ts";

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

/** A whole deployed stack from outside: its tasks, workflows, buckets and queues. */
export function openAws(target: AwsTarget): DeployedSystem {
  const { addresses } = target;
  const world = worldOf(target);
  return {
    tasks: connectAws(target),
    workflows: workflowClient(addresses, (name) => statesPort(partAddress(addresses, "workflow", name), world)),
    bucket: async (name) => s3Port(partAddress(addresses, "bucket", name), world),
    async queue(name) {
      const address = partAddress(addresses, "queue", name);
      return Object.assign(sqsPort(address, world), inspector(address, world));
    },
    close: async () => {},
  };
}

/** Runs of the stack's workflows; a callback is looked for in each of them that asks anybody. */
function workflowClient(addresses: Addresses, open: (workflow: string) => StatesFlow): WorkflowClient {
  return {
    start: async (workflow, input, { id = randomUUID() } = {}) => open(workflow).start(id, input),
    get: async (workflow, id) => open(workflow).get(id),
    list: async (workflow, filter) => open(workflow).list(filter),
    stop: async (workflow, id) => open(workflow).stop(id),
    retry: async (workflow, id) => open(workflow).retry(id),
    answer: async (callback, answer) => {
      for (const [name, { kind, table }] of Object.entries(addresses)) {
        if (kind !== "workflow" || table === undefined) continue;
        const workflow = open(name);
        if (await workflow.has(callback)) return workflow.answer(callback, answer);
      }
      throw new MillraceError("not-found", `no run waits for the answer to "${callback}"`);
    },
  };
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
