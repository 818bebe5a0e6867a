import type { HandlerId, Handlers } from "../handlers/index.ts";
import type { Duration } from "../shared/duration.ts";
import { type Code, toCodePlan } from "./code.ts";
import { DEFAULTS } from "./defaults.ts";
import { type Link, type LinksOf, toLinkPlans } from "./link.ts";
import { type Backoff, MACHINE_OPTIONS, type Machine, machinePlan } from "./machine.ts";
import type { FunctionPart, PartNames, Queue } from "./part.ts";
import type { FunctionPlan, SourcePlan } from "./plan.ts";
import { type Called, isProgram, type Program } from "./program.ts";
import type { Source } from "./source.ts";
import type { Units } from "./units.ts";

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
  Wanted<"code", Parts<H>["code"], { readonly [Name in keyof Parts<H>["code"]]: CodeFor<Parts<H>["code"][Name]> }>;
/** What is called with JSON may be a program; everything else is a module. */
type CodeFor<Asked> = Asked extends Called ? Program<Asked> : Code<Asked>;
type Wanted<Name extends string, Ask, Given> = unknown extends Ask
  ? { readonly [K in Name]?: Record<string, never> }
  : { readonly [K in Name]: Given };

/** What callers give a handler. */
export type PayloadOf<H> = Parts<H>["event"] extends {
  readonly type: "function.invoked";
  readonly payload: infer Payload;
}
  ? Payload
  : never;
/** What a handler answers its callers. */
export type ResultOf<H> = H extends (...args: never[]) => Promise<infer Result> ? Result : never;

/** A function that runs a handler of ours, as a step of a workflow. */
export type StepFunction<Id extends HandlerId> = FunctionPart<PayloadOf<Handlers[Id]>, ResultOf<Handlers[Id]>>;

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
    /** What its code compresses with, where it is a choice; not every cloud's Node has zstd. @default it is no choice */
    readonly compression?: "gzip" | "zstd";
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
  readonly code?: Readonly<Record<string, Code | Program>>;
  readonly timeout?: Duration;
  readonly attempts?: number;
  readonly backoff?: Backoff;
  readonly failures?: Queue;
  readonly tools?: readonly string[];
  readonly install?: readonly string[];
  readonly compression?: "gzip" | "zstd";
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
  const { handler, links = {}, settings = {}, code = {}, attempts = DEFAULTS.attempts } = spec;
  const modules = Object.entries(code).filter((entry): entry is [string, Code] => !isProgram(entry[1]));
  units.options(spec, OPTIONS);
  return {
    kind: "function",
    ...names,
    handler: toCodePlan(handler),
    code: Object.fromEntries(modules.map(([name, user]) => [name, toCodePlan(user)])),
    links: toLinkPlans(links, names.cloud),
    settings,
    sources,
    ...machinePlan(spec, units),
    attempts,
    ...(spec.failures && { failures: spec.failures.name }),
    tools: spec.tools ?? [],
    install: spec.install ?? [],
    ...(spec.compression && { compression: spec.compression }),
    ...(spec.concurrency !== undefined && { concurrency: spec.concurrency }),
    environment: spec.environment ?? {},
    ...(spec.role && { role: spec.role }),
  };
}

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
  compression: true,
  concurrency: true,
  environment: true,
  role: true,
} satisfies Readonly<Record<keyof AnyFunctionSpec, true>>;
