import type { HandlerId } from "../handlers/index.ts";
import type { FunctionInvoked, SingleEvent } from "../runtime/events.ts";
import type { Handler } from "../runtime/handler.ts";
import type { TaskDefinition } from "../runtime/tasks/definition.ts";
import type { Envelope } from "../runtime/tasks/envelope.ts";
import type { Duration } from "../shared/duration.ts";
import type { Code } from "./code.ts";
import { DEFAULTS } from "./defaults.ts";
import type { AnyFunctionSpec, HandlerRef, WorldOf } from "./function.ts";
import { type Link, submit } from "./link.ts";
import { type Backoff, backoffPlan, MACHINE_OPTIONS, type Machine } from "./machine.ts";
import type { PartNames, Queue, TaskPart } from "./part.ts";
import type { DestinationPlan, TaskPlan } from "./plan.ts";
import type { Source } from "./source.ts";
import type { Units } from "./units.ts";

/** User code that is told how a run ended: `export async function handler({ payload: envelope }, context)`. */
export type Hook =
  | Code<{ readonly handler: Handler<FunctionInvoked<Envelope>, never, never, unknown, never> }>
  | HookSpec;

/** A hook with what it needs. */
export interface HookSpec {
  readonly code: Code;
  /** What it may touch, as in every function. */
  readonly links?: Readonly<Record<string, Link>>;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** @default "1 minute" */
  readonly timeout?: Duration;
  /** Tries of one call. @default 3 */
  readonly attempts?: number;
}

/** How a task behaves, whatever it does. */
export interface TaskBehavior {
  /** Longest time of one attempt, up to 24 hours. @default "1 hour" */
  readonly timeout?: Duration;
  /** Time between the request to stop and the kill. @default "30 seconds" */
  readonly grace?: Duration;
  /** Tries of one run, the first included. @default 3 */
  readonly attempts?: number;
  readonly backoff?: Backoff;
  /** Runs at once; the others wait. @default as many as the cloud gives */
  readonly concurrency?: number;
  /** A run that has not started within this time of being due is given up. @default it waits */
  readonly expires?: Duration;
  /** How long a finished run is remembered, and its id known. @default "7 days" */
  readonly retention?: Duration;
  /** Told of every success: a queue, your code, or both. @default nobody */
  readonly onSuccess?: Queue | Hook | readonly (Queue | Hook)[];
  /** Told of every failure, stop and expiry: a queue, your code, or both. @default nobody */
  readonly onFailure?: Queue | Hook | readonly (Queue | Hook)[];
}

/** A task: a handler run at most `attempts` times per id, with state, history and destinations. */
export type TaskSpec<H> = WorldOf<H> &
  Machine &
  TaskBehavior & {
    readonly handler: HandlerRef<H>;
    /** Events that start runs. @default only submits do */
    readonly when?: Source<SingleEvent> | readonly Source<SingleEvent>[];
    readonly tools?: readonly string[];
    readonly install?: readonly string[];
    readonly environment?: Readonly<Record<string, string>>;
    /** Turns events and bare payloads into ids and payloads. @default ids from bucket, key and etag, or the message's id */
    readonly dispatch?: {
      readonly handler: HandlerId | Code;
      readonly links?: Readonly<Record<string, Link>>;
      readonly settings?: Readonly<Record<string, unknown>>;
    };
  };

/** A task spec whose handler's type no longer matters. */
export interface AnyTaskSpec extends AnyFunctionSpec, TaskBehavior {
  readonly backoff?: Backoff;
  readonly dispatch?: {
    readonly handler: string | Code;
    readonly links?: Readonly<Record<string, Link>>;
    readonly settings?: Readonly<Record<string, unknown>>;
  };
}

export function taskPlan(names: PartNames, spec: AnyTaskSpec, units: Units) {
  const { timeout, grace, concurrency, retention, attempts = DEFAULTS.attempts } = spec;
  units.options(spec, OPTIONS);
  const expires = units.seconds("expires", spec.expires);
  const successes = destinationsOf(names.name, "on-success", spec.onSuccess);
  const failures = destinationsOf(names.name, "on-failure", spec.onFailure);
  const plan: TaskPlan = {
    kind: "task",
    ...names,
    worker: `${names.name}-work`,
    dispatcher: `${names.name}-dispatch`,
    timeout: units.seconds("timeout", timeout, DEFAULTS.taskTimeout),
    grace: units.seconds("grace", grace, DEFAULTS.taskGrace),
    attempts,
    backoff: backoffPlan(spec.backoff, units),
    ...(concurrency !== undefined && { concurrency }),
    ...(expires !== undefined && { expires }),
    retention: units.seconds("retention", retention, DEFAULTS.taskRetention),
    onSuccess: successes.map(({ plan }) => plan),
    onFailure: failures.map(({ plan }) => plan),
  };
  return {
    plan,
    worker: workerOf(names, spec, plan),
    dispatcher: (task: TaskPart) => dispatcherOf(names, spec, task),
    destinations: [...successes, ...failures].flatMap(({ suffix, hook }) =>
      hook ? [[suffix, hookOf(names, hook)] as const] : [],
    ),
  };
}

/**
 * Of the plan what the task's core asks for, deployed. Its runs are kept under the stem: they are found again when the
 * construct is renamed with its id kept.
 */
export const taskDefinition = (plan: TaskPlan): TaskDefinition => {
  const { stem, timeout, grace, attempts, backoff, concurrency, expires, retention, onSuccess, onFailure } = plan;
  return {
    ...{ name: stem, timeout, grace, attempts, backoff, retention, onSuccess, onFailure },
    ...(concurrency !== undefined && { concurrency }),
    ...(expires !== undefined && { expires }),
  };
};

/** What every task takes beside its handler: whoever passes it on takes the same. */
export const BEHAVIOR_OPTIONS = {
  timeout: true,
  grace: true,
  attempts: true,
  backoff: true,
  concurrency: true,
  expires: true,
  retention: true,
  onSuccess: true,
  onFailure: true,
} satisfies Readonly<Record<keyof TaskBehavior, true>>;

/** A construct may hand on all it was given, its cloud, its id and whom it notifies too. */
const OPTIONS = {
  cloud: true,
  id: true,
  notify: true,
  handler: true,
  when: true,
  links: true,
  settings: true,
  code: true,
  ...BEHAVIOR_OPTIONS,
  dispatch: true,
  ...MACHINE_OPTIONS,
  tools: true,
  install: true,
  environment: true,
} satisfies Readonly<
  Record<Exclude<keyof AnyTaskSpec, "failures" | "role" | "compression"> | "cloud" | "id" | "notify", true>
>;

/** The platform retries nothing of a worker: attempts are the task's. */
function workerOf(names: PartNames, spec: AnyTaskSpec, { timeout }: TaskPlan): AnyFunctionSpec {
  const { handler, links, settings, code, memory, disk, cpu, tools, install, environment } = spec;
  const given = { links, settings, code, memory, disk, cpu, tools, install, environment };
  return {
    ...(Object.fromEntries(
      Object.entries(given).filter(([, value]) => value !== undefined),
    ) as Partial<AnyFunctionSpec>),
    handler,
    timeout: `${timeout} seconds`,
    attempts: 1,
    role: { task: names.name, duty: "worker" },
  };
}

function dispatcherOf(names: PartNames, { when, dispatch }: AnyTaskSpec, task: TaskPart): AnyFunctionSpec {
  return {
    handler: dispatch?.handler ?? "tasks/dispatch",
    ...(when && { when }),
    links: { ...dispatch?.links, task: submit(task) },
    settings: dispatch?.settings ?? {},
    role: { task: names.name, duty: "dispatcher" },
  };
}

const hookOf = (names: PartNames, hook: Hook): AnyFunctionSpec => {
  const { code, ...rest }: HookSpec = "code" in hook ? hook : { code: hook };
  return { handler: code, ...rest, role: { task: names.name, duty: "destination" } };
};

interface Destination {
  readonly suffix: string;
  readonly plan: DestinationPlan;
  readonly hook?: Hook;
}

function destinationsOf(task: string, suffix: string, given: TaskBehavior["onSuccess"]): Destination[] {
  const list = [given ?? []].flat() as readonly (Queue | Hook)[];
  const hooks = list.filter((destination) => !isQueue(destination)).length;
  let index = 0;
  return list.map((destination) => {
    if (isQueue(destination)) return { suffix, plan: { kind: "queue", name: destination.name } };
    index += 1;
    const id = hooks > 1 ? `${suffix}-${index}` : suffix;
    return { suffix: id, plan: { kind: "function", name: `${task}-${id}` }, hook: destination };
  });
}

const isQueue = (destination: Queue | Hook): destination is Queue =>
  "kind" in destination && destination.kind === "queue";
