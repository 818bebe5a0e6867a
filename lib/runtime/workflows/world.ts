import type { Clock } from "../clock.ts";
import type { StepJournal } from "./journal.ts";
import type { Answer } from "./run.ts";

/**
 * What a workflow needs of the place it runs at. What takes time ends soon after its signal aborts, however it ends.
 */
export interface WorkflowWorld {
  readonly journal: StepJournal;
  readonly clock: Clock;
  /** 0 to 1, for the jitter of retries. */
  readonly random: () => number;
  /** Items of a map at once, where it does not say. */
  readonly concurrency: number;
  /** Calls a function once. It may be called again for the same attempt after a crash. */
  invoke(call: FunctionCall, signal: AbortSignal): Promise<unknown>;
  /** Sees to it that a run of a task ends, and answers its result. */
  perform(call: TaskCall, signal: AbortSignal): Promise<unknown>;
  /** Hands a question over; more than once after a crash at most. */
  ask(question: Question): Promise<void>;
  /** What an answer to the step of this path names. */
  callback(path: string): string;
  /** The answer to the step of this path, as soon as there is one. It is forgotten with the step's next entry that is over. */
  answer(path: string, signal: AbortSignal): Promise<Answer>;
}

export interface FunctionCall {
  /** The step's path. */
  readonly path: string;
  /** The part. */
  readonly function: string;
  readonly input: unknown;
  /** From 1. */
  readonly attempt: number;
  /** Seconds, if shorter than the function's own. */
  readonly timeout?: number;
}

export interface TaskCall {
  readonly path: string;
  /** The part. */
  readonly task: string;
  /** The run's. */
  readonly id: string;
  readonly input: unknown;
  /** A run that has failed is to be retried; otherwise its failure is the answer. */
  readonly retries: boolean;
}

export interface Question {
  /** Who is asked. */
  readonly to: { readonly kind: "queue" | "function"; readonly name: string };
  /** What the answer names. */
  readonly callback: string;
  readonly input: unknown;
  /** The same for the same question, however often it is asked. */
  readonly key: string;
}

/** Why a signal aborts when the process ends and the run does not: nothing is written down any more. */
export class Suspended extends Error {
  override readonly name = "Suspended";

  constructor() {
    super("the run goes on when the process does");
  }
}
