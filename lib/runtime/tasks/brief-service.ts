import { randomUUID } from "node:crypto";
import type { FunctionCall } from "../calls.ts";
import { type Clock, sleep } from "../clock.ts";
import { field, type LinkAddress, type LinkKind, type PortWorld } from "../deployment.ts";
import { MillraceError } from "../errors.ts";
import type { TableReader, TableWriter, TaskController, TaskSubmitter } from "../ports.ts";
import type { ClaimsBucket, TaskLimits } from "./bodies.ts";
import type { Destination, TaskDefinition } from "./definition.ts";
import type { Envelope } from "./envelope.ts";
import type { TaskLogs } from "./logs.ts";
import type { TaskPlatform } from "./platform.ts";
import { TaskService } from "./service.ts";
import { STOP_SLACK } from "./steps.ts";
import { TableTaskStore } from "./table-store.ts";
import type { Task, TaskClient } from "./task.ts";
import type { AttemptHost } from "./worker.ts";

/** Seconds after which the keeper comes round by itself. */
const KEEPER_ROUND = 60;

/** What is due within so many milliseconds is waited for: quicker and cheaper than another call. */
const SHORT_WAIT = 2000;

/** What a cloud gives a task's service to stand on; parts are named as the address names them. */
export interface BriefTaskWorld {
  /** Has `definition` (JSON), `dispatcher`, `queues` and `functions` (JSON: physical names by logical ones). */
  readonly address: LinkAddress;
  readonly table: TableReader & TableWriter;
  readonly claims: ClaimsBucket;
  readonly platform: TaskPlatform;
  readonly logs: TaskLogs;
  /** What the platform and the queues carry. */
  readonly limits: TaskLimits;
  /** Calls a function and waits for its answer. */
  invoke(functionName: string, call: FunctionCall): Promise<unknown>;
  /** Has a function called by the platform, which tries again by itself. */
  start(functionName: string, call: FunctionCall): Promise<void>;
  /** @param key the same at every try of the same message */
  send(queue: { readonly name: string; readonly physical: string }, body: string, key: string): Promise<void>;
  /** Has the keeper come round in so many seconds. */
  wake(seconds: number): Promise<void>;
  readonly world: PortWorld;
}

/** A task's service in a process that ends with its invocation. */
export interface BriefTaskService {
  readonly service: TaskService;
  readonly claims: ClaimsBucket;
  readonly definition: TaskDefinition;
  /** Awaits what goes on behind the answers, and has the keeper called, as by its timer, when the run needs somebody next. */
  settle(task: Task | undefined): Promise<void>;
}

/** The one admission, over the task's table, for as long as an invocation lasts. */
export function briefTaskService(brief: BriefTaskWorld): BriefTaskService {
  const { address, table, claims, platform, logs, limits } = brief;
  const { clock, log } = brief.world;
  const definition = JSON.parse(field(address, "definition")) as TaskDefinition;
  const service = new TaskService({
    definitions: new Map([[definition.name, definition]]),
    // The part may be called otherwise by now: its runs are kept under the name that does not change.
    aliases: new Map([[address.part, definition.name]]),
    store: new TableTaskStore({ table, tasks: [definition.name], clock, random: Math.random }),
    platform,
    deliver: (destination, envelope, key) => deliver(brief, destination, envelope, key),
    claims,
    dispatch: (_task, payload, options) =>
      brief.invoke(field(address, "dispatcher"), { ...callOf(randomUUID(), payload, clock), options }) as Promise<Task>,
    logs,
    clock,
    random: Math.random,
    limits,
    log,
  });
  const settle = async (task: Task | undefined) => {
    await service.settled();
    const wait = task && waitOf(task, definition, clock.now());
    if (wait === undefined || wait > KEEPER_ROUND * 1000) return;
    if (wait > SHORT_WAIT) return wake(brief, Math.ceil(wait / 1000));
    await sleep(clock, wait);
    service.run(clock.now());
    await service.settled();
  };
  return { service, claims, definition, settle };
}

/** Milliseconds until somebody must look at the run: for its next attempt, its expiry, or the end of its grace. */
function waitOf({ status, due, expires }: Task, { grace }: TaskDefinition, now: number): number | undefined {
  if (status === "stopping") return grace * 1000 + STOP_SLACK;
  if (status === "retrying") return Math.max(0, Date.parse(due) - now);
  if (status !== "queued") return undefined;
  const times = [due, ...(expires === undefined ? [] : [expires])].map((time) => Date.parse(time) - now);
  const waits = times.filter((wait) => wait > 0);
  return waits.length === 0 ? undefined : Math.min(...waits) + 1;
}

/** A keeper that cannot be called comes round by itself, at most a minute later. */
const wake = (brief: BriefTaskWorld, seconds: number): Promise<void> =>
  brief.wake(seconds).catch((error: unknown) => {
    brief.world.log.warn(`${brief.address.part}: its keeper could not be called`, { error });
  });

/** Queues get the envelope as a message, functions as a call of their own that the platform tries again. */
async function deliver(brief: BriefTaskWorld, { kind, name }: Destination, envelope: Envelope, key: string) {
  const physical = nameIn(brief.address, kind === "queue" ? "queues" : "functions", name);
  if (kind === "function") return brief.start(physical, callOf(key, envelope, brief.world.clock));
  return brief.send({ name, physical }, JSON.stringify(envelope), key);
}

/** @throws `not-found` if the destination was not deployed with the task */
function nameIn(address: LinkAddress, names: "queues" | "functions", name: string): string {
  const physical = (JSON.parse(field(address, names)) as Readonly<Record<string, string>>)[name];
  if (physical === undefined)
    throw new MillraceError("not-found", `${address.part}: there is no destination "${name}"`);
  return physical;
}

/** A call of ours, as it travels. */
export const callOf = (id: string, payload: unknown, clock: Clock): FunctionCall => ({
  millrace: "call",
  id,
  payload,
  time: new Date(clock.now()).toISOString(),
});

/** A linked task: what is asked of it is settled before the answer, for the process may end with that. */
export function linkedTask(part: string, { service, settle }: BriefTaskService): TaskSubmitter & TaskController {
  const settled = async (work: Promise<Task>): Promise<Task> => {
    const task = await work;
    await settle(task);
    return task;
  };
  return {
    submit: (id, payload, options) => settled(service.submit(part, payload, { ...options, id })),
    get: (id) => service.get(part, id),
    list: (filter) => service.list(part, filter),
    audit: (id) => service.audit(part, id),
    stop: (id) => settled(service.stop(part, id)),
    retry: (id) => settled(service.retry(part, id)),
  };
}

/** The task that a worker works for: whom it reports to. */
export const attemptHost = ({ service, claims, settle }: BriefTaskService): AttemptHost => ({
  get: (task, id) => service.get(task, id),
  payload: async ({ key }) => JSON.parse(Buffer.from(await claims.get(key)).toString("utf8")) as unknown,
  progressed: (attempt, fraction, message) => service.progressed(attempt, fraction, message),
  async finished(attempt, outcome) {
    await service.finished(attempt, outcome);
    await settle(await service.get(attempt.task, attempt.id));
  },
});

/** The addresses of a deployed stack's parts, by their names: `addresses` of its output `millrace`. */
export type Addresses = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** A client over the tasks of a deployed stack: one service for each task, made when it is first asked for. */
export function briefTaskClient(
  addresses: Addresses,
  open: (address: LinkAddress) => BriefTaskService | Promise<BriefTaskService>,
): TaskClient {
  const services = new Map<string, Promise<BriefTaskService>>();
  const of = (task: string): Promise<BriefTaskService> => {
    const service = services.get(task) ?? (async () => open(partAddress(addresses, "task", task)))();
    services.set(task, service);
    return service;
  };
  const on = async <Answer>(task: string, ask: (service: TaskService) => Promise<Answer>): Promise<Answer> =>
    ask((await of(task)).service);
  // What an answer sets going is done before it is given: the program may end with it.
  const settled = async (task: string, ask: (service: TaskService) => Promise<Task>): Promise<Task> => {
    const { service, settle } = await of(task);
    const run = await ask(service);
    await settle(run);
    return run;
  };
  return {
    submit: (task, payload, options) => settled(task, (service) => service.submit(task, payload, options)),
    get: (task, id) => on(task, (service) => service.get(task, id)),
    list: (task, filter) => on(task, (service) => service.list(task, filter)),
    stop: (task, id, options) => settled(task, (service) => service.stop(task, id, options)),
    retry: (task, id, options) => settled(task, (service) => service.retry(task, id, options)),
    async *logs(task, id, options) {
      yield* (await of(task)).service.logs(task, id, options);
    },
    audit: (task, id) => on(task, (service) => service.audit(task, id)),
    wait: (task, id, options) => on(task, (service) => service.wait(task, id, options)),
  };
}

/**
 * Where a part of a deployed stack lies.
 *
 * @throws `not-found`, with the names there are
 */
export function partAddress(addresses: Addresses, kind: LinkKind, part: string): LinkAddress {
  const isOne = (name: string) => addresses[name]?.kind === kind;
  if (isOne(part)) return { ...addresses[part], part } as LinkAddress;
  const known = Object.keys(addresses).filter(isOne);
  const text = known.map((name) => `"${name}"`).join(", ");
  throw new MillraceError("not-found", `there is no ${kind} "${part}"; there are: ${text || "none"}`);
}
