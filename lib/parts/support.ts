import type { CloudKind, PartKind } from "./plan.ts";

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
  readonly values?: readonly (string | number)[];
}

export interface PartFact extends Fact {
  /** By plan field: `timeout`, `attempts`… */
  readonly options: Readonly<Record<string, OptionFact>>;
}

/** A bound that holds at run time, in bytes, seconds or pieces as its name says. */
export interface LimitFact {
  readonly value: number;
  readonly source: string;
}

export type LimitName =
  | "taskPayloadBytes" // above: claim check
  | "taskResultBytes" // above: claim check
  | "functionPayloadBytes" // a synchronous call
  | "eventPayloadBytes" // an asynchronous call
  | "queueMessageBytes"
  | "queueDelaySeconds"
  | "queueBatch"
  | "eventFunctionSeconds" // a function that a queue or stream triggers
  | "environmentBytes"
  | "nameCharacters";

/** All that is known of one cloud, as plain data: importable without any provider package. */
export interface Support {
  readonly cloud: CloudKind;
  readonly title: string;
  readonly parts: Readonly<Record<PartKind, PartFact>>;
  /** Sources of functions: `bucket.created`, `queue.received`, `schedule.fired`. */
  readonly sources: Readonly<Record<"bucket.created" | "queue.received" | "schedule.fired", Fact>>;
  readonly limits: Readonly<Record<LimitName, LimitFact | undefined>>;
}
