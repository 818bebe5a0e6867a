import type { Plan, QueuePlan } from "../parts/plan.ts";
import { MillraceError } from "../runtime/errors.ts";
import type { BucketReader, BucketRemover, BucketWriter, SendOptions } from "../runtime/ports.ts";
import type { StreamClient } from "../runtime/streams.ts";
import type { DeployedSystem, PeekedMessage, QueueStats } from "../runtime/system.ts";
import { type BulkTaskClient, retryAll, stopAll } from "../runtime/tasks/bulk.ts";
import type { WorkflowClient } from "../runtime/workflows/run.ts";

/** All that can be done with a system from outside, on whatever cloud it runs. */
export interface SystemClient {
  readonly tasks: BulkTaskClient;
  readonly workflows: WorkflowClient;
  readonly buckets: { bucket(name: string): BucketClient };
  readonly queues: QueuesClient;
  readonly streams: StreamClient;
  plan(): Promise<Plan>;
}

/** Reads, writes and removes the objects of one bucket. */
export type BucketClient = Pick<BucketReader, "bucket" | "head" | "get" | "stream" | "list"> &
  Pick<BucketWriter, "put"> &
  BucketRemover;

export interface QueuesClient {
  stats(queue: string): Promise<QueueStats>;
  /** The first messages, oldest first, without receiving them; 1 to 1,000. */
  peek(queue: string, limit: number): Promise<readonly PeekedMessage[]>;
  /** The message's id. */
  send(queue: string, body: string, options?: SendOptions): Promise<string>;
  /** Moves messages to another queue, by default back to the one they failed in; how many. */
  redrive(queue: string, options?: { readonly to?: string; readonly limit?: number }): Promise<number>;
}

/** What a stack exports as `millrace`. */
export interface StackOutput {
  readonly plan: Plan;
  /** Where its parts lie, by their names. */
  readonly addresses: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** A deployed system, by its stack's output, what its cloud's client opened, and the streams, which lie in no cloud's own. */
export const deployedClient = ({ plan }: StackOutput, system: DeployedSystem, streams: StreamClient): SystemClient => ({
  tasks: {
    ...system.tasks,
    stopAll: (task, filter, options) => stopAll(system.tasks, task, filter, options),
    retryAll: (task, filter, options) => retryAll(system.tasks, task, filter, options),
  },
  workflows: workflowsIn(system, plan.clouds),
  buckets: { bucket: (name) => bucketOf(system, name) },
  queues: {
    stats: async (queue) => (await system.queue(queue)).stats(),
    peek: async (queue, limit) => (await system.queue(queue)).peek(limit),
    send: async (queue, body, options) => (await system.queue(queue)).send(body, options),
    redrive: (queue, { to = sourceOf(plan, queue), limit } = {}) => redrive(system, queue, to, limit),
  },
  streams,
  plan: async () => plan,
});

/** The workflows of a system; where it has none, every verb says so. */
export function workflowsIn({ workflows }: DeployedSystem, clouds: Plan["clouds"]): WorkflowClient {
  if (workflows) return workflows;
  const refuse = async (): Promise<never> => {
    const kinds = clouds.map(({ kind }) => kind).join(", ");
    throw new MillraceError("refused", `workflows on ${kinds} cannot be reached from outside yet`);
  };
  return { start: refuse, get: refuse, list: refuse, stop: refuse, retry: refuse, answer: refuse };
}

const bucketOf = (system: DeployedSystem, name: string): BucketClient => ({
  bucket: name,
  head: async (key) => (await system.bucket(name)).head(key),
  get: async (key, options) => (await system.bucket(name)).get(key, options),
  stream: async (key, options) => (await system.bucket(name)).stream(key, options),
  list: async (options) => (await system.bucket(name)).list(options),
  put: async (key, body, options) => (await system.bucket(name)).put(key, body, options),
  remove: async (key) => (await system.bucket(name)).remove(key),
});

/** The queue whose dead letters these are. */
function sourceOf({ parts }: Plan, queue: string): string {
  const sources = parts.filter((part): part is QueuePlan => part.kind === "queue" && part.deadLetters === queue);
  if (sources.length === 1) return sources[0]!.name;
  const whose = sources.length === 0 ? "no queue" : sources.map(({ name }) => name).join(", ");
  throw new MillraceError("bad-input", `${queue} holds the dead letters of ${whose}: say which queue they go to`);
}

/**
 * Each is sent before it is acknowledged: one that is interrupted may be there twice, none is lost. What comes in
 * meanwhile, for it failed again, is left for the next time.
 */
async function redrive(system: DeployedSystem, from: string, to: string, limit = Infinity): Promise<number> {
  const [source, target] = await Promise.all([system.queue(from), system.queue(to)]);
  const { ready } = await source.stats();
  const most = Math.min(limit, ready);
  let moved = 0;
  while (moved < most) {
    const messages = await source.receive({ limit: Math.min(10, most - moved) });
    if (messages.length === 0) break;
    for (const { id, body, attributes, receipt } of messages) {
      await target.send(body, { attributes, deduplication: id });
      await source.acknowledge(receipt);
      moved += 1;
    }
  }
  return moved;
}
