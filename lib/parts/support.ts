import type { CloudKind, PartKind, PlanOf } from "./plan.ts";

/** `native`: the cloud does it. `added`: Millrace does it there. `refused`: the check says no. */
export type Level = "native" | "added" | "refused";

/** What a cloud does with something, and how we know. */
export interface Fact {
  readonly level: Level;
  /** The service or mechanism that does it, in a few words. */
  readonly how: string;
  /** Where this is written. */
  readonly source: string;
  /** What it was tried against: a server, a wire-level fake, or `documentation only`. */
  readonly verified: string;
}

/** One field of a part's plan; bounds are in the plan's own units (seconds, bytes). */
export interface OptionFact extends Fact {
  readonly min?: number;
  readonly max?: number;
  /** Only multiples of this. */
  readonly step?: number;
  readonly values?: readonly (string | number)[];
}

/** Fields every cloud treats alike, or that are no choice of the user. */
type Wiring =
  | "kind"
  | "name"
  | "stem"
  | "construct"
  | "cloud"
  | "handler"
  | "program" // by its fields
  | "code"
  | "settings"
  | "sources" // in `Support.sources`
  | "role"
  | "worker"
  | "dispatcher"
  | "timing"; // by its fields

/** Parts a user may have already. */
type Reusable = "bucket" | "queue" | "table" | "volume" | "secret" | "stream";

/** The fields of a part's plan that clouds treat differently: all of them need a fact. A dot leads inside a field. */
export type OptionName<Kind extends PartKind> =
  | Exclude<keyof PlanOf<Kind>, Wiring | (Kind extends Reusable ? never : "existing")>
  | (Kind extends "schedule" ? "timing.every" | "timing.cron" | "timing.timeZone" : never)
  | (Kind extends "function" ? "program.image" | "program.image.gpu" | "program.python" : never);

export interface PartFact<Kind extends PartKind = PartKind> extends Fact {
  /** By plan field: `timeout`, `attempts`… */
  readonly options: Readonly<Record<Kind extends PartKind ? OptionName<Kind> : never, OptionFact>>;
}

/** A bound that holds at run time, in bytes, seconds or pieces as its name says. */
export interface LimitFact extends Omit<Fact, "level"> {
  readonly value: number;
}

/** The bounds the local cloud keeps when it acts as another one; an absent one is not bounded there. */
export const LIMIT_NAMES = [
  "taskPayloadBytes", // above: claim check
  "taskResultBytes", // above: claim check
  "functionPayloadBytes", // a synchronous call
  "eventPayloadBytes", // an asynchronous call
  "queueMessageBytes",
  "queueDelaySeconds",
  "queueBatch",
  "queueWindowSeconds",
  "streamBatch",
  "streamWindowSeconds",
  "eventFunctionSeconds", // a function that a queue or stream triggers
  "environmentBytes",
  "leastMemoryPerCpuBytes",
  "mostMemoryPerCpuBytes",
  "nameCharacters",
] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

export const SOURCE_TYPES = ["bucket.created", "queue.received", "schedule.fired", "stream.consumed"] as const;
export type SourceType = (typeof SOURCE_TYPES)[number];

/** What can be asked of a single run, beside the task's own options. */
export const RUN_FEATURES = [
  "id",
  "delay",
  "expires",
  "priority",
  "tenant",
  "tags",
  "list",
  "stop",
  "retry",
  "progress",
  "logs",
  "audit",
] as const;
export type RunFeature = (typeof RUN_FEATURES)[number];

/** All that is known of one cloud, as plain data: importable without any provider package. */
export interface Support {
  readonly cloud: CloudKind;
  readonly title: string;
  readonly parts: { readonly [Kind in PartKind]: PartFact<Kind> };
  /** What starts functions. */
  readonly sources: Readonly<Record<SourceType, Fact>>;
  /** Runs of tasks. */
  readonly runs: Readonly<Record<RunFeature, OptionFact>>;
  readonly limits: Readonly<Record<LimitName, LimitFact | undefined>>;
}

const UNITS: Readonly<Record<string, "seconds" | "bytes">> = {
  timeout: "seconds",
  grace: "seconds",
  visibility: "seconds",
  retention: "seconds",
  delay: "seconds",
  expires: "seconds",
  "timing.every": "seconds",
  memory: "bytes",
  disk: "bytes",
};

/** What the numbers of an option or a limit are; undefined: pieces. */
export const unitOf = (name: string): "seconds" | "bytes" | undefined =>
  UNITS[name] ?? (name.endsWith("Seconds") ? "seconds" : name.endsWith("Bytes") ? "bytes" : undefined);
