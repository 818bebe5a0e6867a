import { randomUUID } from "node:crypto";
import type { FunctionCall } from "../../../runtime/calls.ts";
import { sleep } from "../../../runtime/clock.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { ClaimsBucket, TaskLimits } from "../../../runtime/tasks/bodies.ts";
import type { Destination, TaskDefinition } from "../../../runtime/tasks/definition.ts";
import type { Envelope } from "../../../runtime/tasks/envelope.ts";
import type { TaskLogs } from "../../../runtime/tasks/logs.ts";
import { TaskService } from "../../../runtime/tasks/service.ts";
import { TableTaskStore } from "../../../runtime/tasks/table-store.ts";
import type { Task } from "../../../runtime/tasks/task.ts";
import { field } from "../env.ts";
import type { AlicloudWorld } from "./account.ts";
import { FcPlatform } from "./fc-platform.ts";
import { Functions } from "./functions.ts";
import { port as ossPort } from "./oss.ts";
import { port as smqPort } from "./smq.ts";
import { port as tablestorePort } from "./tablestore.ts";

/**
 * A body of an asynchronous call is 128 KB, with what says whose it is; a queue as destination carries 64 KB.
 * https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/specification-details
 */
const LIMITS: TaskLimits = { taskPayloadBytes: 120 * 1024, taskResultBytes: 64 * 1024 };

/** Seconds after which the keeper comes round by itself. */
const KEEPER_ROUND = 60;

/** What is due within so many milliseconds is waited for: quicker and cheaper than another call. */
const SHORT_WAIT = 2000;

/** A task's service in a process that ends with its invocation. */
export interface BriefTaskService {
  readonly service: TaskService;
  readonly claims: ClaimsBucket;
  readonly definition: TaskDefinition;
  /** Awaits what goes on behind the answers, and has the keeper called, as by its timer, when the run needs somebody next. */
  settle(task: Task | undefined): Promise<void>;
}

/** The one admission, over the task's table, on Function Compute. */
export async function taskService(address: LinkAddress, world: AlicloudWorld): Promise<BriefTaskService> {
  const definition = JSON.parse(field(address, "definition")) as TaskDefinition;
  const functions = new Functions(address, world);
  const claims = ossPort(claimsAddress(address), world);
  const table = await tablestorePort(tableAddress(address), world);
  const { clock, log } = world;
  const service = new TaskService({
    definitions: new Map([[definition.name, definition]]),
    store: new TableTaskStore({ table, tasks: [definition.name], clock, random: Math.random }),
    platform: new FcPlatform(functions, field(address, "worker")),
    deliver: deliveryOf(address, functions, world),
    claims,
    dispatch: (_task, payload, options) => {
      const call = callOf(randomUUID(), payload, world);
      return functions.invoke(field(address, "dispatcher"), JSON.stringify({ ...call, options })) as Promise<Task>;
    },
    logs: logsElsewhere(address),
    clock,
    random: Math.random,
    limits: LIMITS,
    log,
  });
  const settle = async (task: Task | undefined) => {
    await service.settled();
    const wait = task && waitOf(task, definition, clock.now());
    if (wait === undefined || wait > KEEPER_ROUND * 1000) return;
    if (wait > SHORT_WAIT) return wake(functions, address, world, wait);
    await sleep(clock, wait);
    service.run(clock.now());
    await service.settled();
  };
  return { service, claims, definition, settle };
}

/** Milliseconds until somebody must look at the run: for its next attempt, its expiry, or the end of its grace. */
function waitOf({ status, due, expires }: Task, { grace }: TaskDefinition, now: number): number | undefined {
  if (status === "stopping") return (grace + 1) * 1000;
  if (status === "retrying") return Math.max(0, Date.parse(due) - now);
  if (status !== "queued") return undefined;
  const times = [due, ...(expires === undefined ? [] : [expires])].map((time) => Date.parse(time) - now);
  const waits = times.filter((wait) => wait > 0);
  return waits.length === 0 ? undefined : Math.min(...waits) + 1;
}

/** Has the keeper called then, as its timer does; that itself comes at most a minute later. */
async function wake(functions: Functions, address: LinkAddress, { clock, log }: AlicloudWorld, wait: number) {
  const delay = Math.ceil(wait / 1000);
  const event = { triggerTime: new Date(clock.now() + wait).toISOString(), triggerName: "wake", payload: "" };
  await functions.start(field(address, "keeper"), JSON.stringify(event), { delay }).catch((error: unknown) => {
    log.warn(`${address.part}: its keeper could not be called`, { error });
  });
}

/** Queues get the envelope as a message, functions as a call of their own that the service tries again. */
const deliveryOf =
  (address: LinkAddress, functions: Functions, world: AlicloudWorld) =>
  async ({ kind, name }: Destination, envelope: Envelope, key: string): Promise<void> => {
    const physical = nameIn(address, kind === "queue" ? "queues" : "functions", name);
    if (kind === "function") {
      await functions.start(physical, JSON.stringify(callOf(key, envelope, world)));
      return;
    }
    const queue = smqPort({ ...place(address), kind: "queue", part: name, queue: physical }, world);
    await queue.send(JSON.stringify(envelope));
  };

/** @throws `not-found` if the destination was not deployed with the task */
function nameIn(address: LinkAddress, names: "queues" | "functions", name: string): string {
  const physical = (JSON.parse(field(address, names)) as Readonly<Record<string, string>>)[name];
  if (physical === undefined)
    throw new MillraceError("not-found", `${address.part}: there is no destination "${name}"`);
  return physical;
}

const callOf = (id: string, payload: unknown, { clock }: AlicloudWorld): FunctionCall => ({
  millrace: "call",
  id,
  payload,
  time: new Date(clock.now()).toISOString(),
});

const place = (address: LinkAddress) => ({
  region: field(address, "region"),
  account: field(address, "account"),
  ...(address.queueEndpoint !== undefined && { endpoint: address.queueEndpoint }),
});

const claimsAddress = (address: LinkAddress): LinkAddress => ({
  kind: "bucket",
  part: field(address, "claims"),
  bucket: field(address, "claims"),
  region: field(address, "region"),
  ...(address.bucketEndpoint !== undefined && { endpoint: address.bucketEndpoint }),
});

const tableAddress = (address: LinkAddress): LinkAddress => ({
  kind: "table",
  part: field(address, "table"),
  instance: field(address, "instance"),
  table: field(address, "table"),
  region: field(address, "region"),
  ...(address.tableEndpoint !== undefined && { endpoint: address.tableEndpoint }),
});

/** What functions print goes to Log Service by itself, and is kept as long as the store there says. */
function logsElsewhere(address: LinkAddress): TaskLogs {
  const refused = () =>
    Promise.reject(
      new MillraceError(
        "refused",
        `the log of ${address.part} is in Log Service: search ${address.logs ?? "it"} for run: "<id>"`,
      ),
    );
  return { append: async () => {}, read: refused, watch: () => () => {}, remove: async () => {} };
}
