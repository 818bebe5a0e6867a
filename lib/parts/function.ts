import type { HandlerId, Handlers } from "../handlers/index.ts";
import type { Duration } from "../shared/duration.ts";
import type { Size } from "../shared/size.ts";
import { type Code, toCodePlan } from "./code.ts";
import { DEFAULTS } from "./defaults.ts";
import { type Link, type LinksOf, toLinkPlan } from "./link.ts";
import type { PartNames, Queue } from "./part.ts";
import type { BackoffPlan, FunctionPlan, SourcePlan } from "./plan.ts";
import type { Source } from "./source.ts";
import type { Units } from "./units.ts";

/** How long to wait before the next try: exponential, with full jitter. */
export interface Backoff {
  /** @default "1 second" */
  readonly first?: Duration;
  /** @default 2 */
  readonly factor?: number;
  /** @default "5 minutes" */
  readonly longest?: Duration;
}

/** What a function needs of the machine. */
export interface Machine {
  /** @default "512 MB" */
  readonly memory?: Size;
  /** Scratch space. @default "512 MB" */
  readonly disk?: Size;
  /** Virtual CPUs. @default 0.5 */
  readonly cpu?: number;
}

/** The id of a handler of ours with this type, or a user's module that exports it as `handler`. */
export type HandlerRef<H> =
  | { [Id in HandlerId]: Handlers[Id] extends H ? Id : never }[HandlerId]
  | Code<{ readonly handler: H }>;

type Parts<H> = H extends (event: infer Event, context: infer C) => Promise<unknown>
  ? { event: Event; links: Asked<C, "links">; settings: Asked<C, "settings">; code: Asked<C, "code"> }
  : never;
/** What a handler says of one thing in its context; `unknown` where it does not mention it. */
type Asked<C, Name extends string> = unknown extends C
  ? unknown
  : C extends { readonly [K in Name]: infer Given }
    ? Given
    : unknown;

/** `links`, `settings` and `code` as the handler's own type asks for them; left out where it asks for nothing. */
export type WorldOf<H> = Wanted<"links", Parts<H>["links"], LinksOf<Parts<H>["links"]>> &
  Wanted<"settings", Parts<H>["settings"], Parts<H>["settings"]> &
  Wanted<"code", Parts<H>["code"], { readonly [Name in keyof Parts<H>["code"]]: Code<Parts<H>["code"][Name]> }>;
type Wanted<Name extends string, Ask, Given> = unknown extends Ask
  ? { readonly [K in Name]?: Record<string, never> }
  : { readonly [K in Name]: Given };

/** A function: a handler, what starts it, what it may touch, what it needs. */
export type FunctionSpec<H> = WorldOf<H> &
  Machine & {
    readonly handler: HandlerRef<H>;
    /** What starts it. @default only calls do */
    readonly when?: Source<Parts<H>["event"]> | readonly Source<Parts<H>["event"]>[];
    /** Longest time of one invocation. @default "1 minute" */
    readonly timeout?: Duration;
    /** Tries of one event, the first included. @default 3 */
    readonly attempts?: number;
    readonly backoff?: Backoff;
    /** Takes events that failed every attempt. @default they are logged and dropped */
    readonly failures?: Queue;
    /** Tools such as `ffmpeg`, delivered with the function. @default none */
    readonly tools?: readonly string[];
    /** Packages that cannot be bundled (native ones), installed beside the bundle. @default none */
    readonly install?: readonly string[];
    /** Most invocations at once. @default as many as the cloud gives */
    readonly concurrency?: number;
    /** Plain environment variables; no secrets: link those. */
    readonly environment?: Readonly<Record<string, string>>;
  };

/** A function spec whose handler's type no longer matters. */
export interface AnyFunctionSpec extends Machine {
  readonly handler: string | Code;
  readonly when?: Source | readonly Source[];
  readonly links?: Readonly<Record<string, Link>>;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly code?: Readonly<Record<string, Code>>;
  readonly timeout?: Duration;
  readonly attempts?: number;
  readonly backoff?: Backoff;
  readonly failures?: Queue;
  readonly tools?: readonly string[];
  readonly install?: readonly string[];
  readonly concurrency?: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly role?: FunctionPlan["role"];
}

export function functionPlan(
  names: PartNames,
  spec: AnyFunctionSpec,
  sources: readonly SourcePlan[],
  units: Units,
): FunctionPlan {
  const {
    handler,
    links = {},
    settings = {},
    code = {},
    timeout,
    memory,
    disk,
    cpu = DEFAULTS.functionCpu,
    attempts = DEFAULTS.attempts,
  } = spec;
  units.options(spec, OPTIONS);
  return {
    kind: "function",
    ...names,
    handler: toCodePlan(handler),
    code: Object.fromEntries(Object.entries(code).map(([name, user]) => [name, toCodePlan(user)])),
    links: Object.fromEntries(Object.entries(links).map(([name, link]) => [name, toLinkPlan(link)])),
    settings,
    sources,
    timeout: units.seconds("timeout", timeout, DEFAULTS.functionTimeout),
    memory: units.bytes("memory", memory, DEFAULTS.functionMemory),
    disk: units.bytes("disk", disk, DEFAULTS.functionDisk),
    cpu,
    attempts,
    backoff: backoffPlan(spec.backoff, units),
    ...(spec.failures && { failures: spec.failures.name }),
    tools: spec.tools ?? [],
    install: spec.install ?? [],
    ...(spec.concurrency !== undefined && { concurrency: spec.concurrency }),
    environment: spec.environment ?? {},
    ...(spec.role && { role: spec.role }),
  };
}

/** What every function takes of the machine. */
export const MACHINE_OPTIONS = {
  memory: true,
  disk: true,
  cpu: true,
} satisfies Readonly<Record<keyof Machine, true>>;

const OPTIONS = {
  handler: true,
  when: true,
  links: true,
  settings: true,
  code: true,
  timeout: true,
  attempts: true,
  backoff: true,
  failures: true,
  ...MACHINE_OPTIONS,
  tools: true,
  install: true,
  concurrency: true,
  environment: true,
  role: true,
} satisfies Readonly<Record<keyof AnyFunctionSpec, true>>;

export function backoffPlan(backoff: Backoff = {}, units: Units): BackoffPlan {
  const { first, factor = DEFAULTS.backoff.factor, longest } = backoff;
  units.options(backoff, BACKOFF_OPTIONS, "backoff");
  return {
    first: units.seconds("backoff.first", first, DEFAULTS.backoff.first),
    factor,
    longest: units.seconds("backoff.longest", longest, DEFAULTS.backoff.longest),
  };
}

const BACKOFF_OPTIONS = { first: true, factor: true, longest: true } satisfies Readonly<Record<keyof Backoff, true>>;
