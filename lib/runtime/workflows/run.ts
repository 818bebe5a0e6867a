import type { ErrorRecord } from "../errors.ts";

/** Where a run of a workflow stands. */
export type WorkflowStatus = "running" | "stopping" | "succeeded" | "failed" | "stopped";

export const WORKFLOW_STATUSES = [
  "running",
  "stopping",
  "succeeded",
  "failed",
  "stopped",
] as const satisfies readonly WorkflowStatus[];

/** Whether a run in this state is over. */
export const isOver = (status: WorkflowStatus): boolean => status !== "running" && status !== "stopping";

/** Where a step stands. `retrying` waits for its next attempt, `waiting` for its time or an answer. */
export type StepStatus = "running" | "waiting" | "retrying" | "succeeded" | "failed" | "caught" | "stopped";

/** One step of a run, or one of the many it is inside a map or a repeat. Times are ISO 8601. */
export interface StepRecord {
  /** From the outside in, items and rounds in brackets from 0: `transcode[3]/encode`. */
  readonly path: string;
  /** Its name in the definition; of a map's item of which no cloud tells the steps, its path. */
  readonly step: string;
  readonly status: StepStatus;
  readonly started: string;
  readonly ended?: string;
  /** How often it was tried. */
  readonly attempts: number;
  readonly error?: ErrorRecord;
  /** The first 1,024 characters of its output as JSON. */
  readonly outputPreview?: string;
  /** What a step of type `callback` waits for: its answer names it. */
  readonly callback?: string;
  /** Of a map: how many items it has, and how they went so far. */
  readonly items?: { readonly total: number; readonly succeeded: number; readonly failed: number };
  /** How far a function at work says it is, 0 to 1; only this computer tells. */
  readonly progress?: { readonly fraction: number; readonly message?: string };
}

/** A run of a workflow as everybody sees it. Times are ISO 8601. */
export interface WorkflowRun {
  /** The workflow part's name. */
  readonly workflow: string;
  readonly id: string;
  readonly status: WorkflowStatus;
  readonly started: string;
  readonly ended?: string;
  readonly error?: ErrorRecord;
  /** The first 1,024 characters of the input as JSON. */
  readonly inputPreview: string;
  readonly outputPreview?: string;
  /** Whether this start answered a run that was there already. */
  readonly deduplicated?: boolean;
}

/** A run with all that is known of it. */
export interface WorkflowHistory {
  readonly run: WorkflowRun;
  readonly input: unknown;
  readonly output?: unknown;
  /** In the order they began. */
  readonly steps: readonly StepRecord[];
}

export interface WorkflowFilter {
  readonly status?: WorkflowStatus | readonly WorkflowStatus[];
  /** Started at or after, ISO 8601. */
  readonly after?: string;
  /** Started before, ISO 8601. */
  readonly before?: string;
  /** Ids that begin with this. */
  readonly prefix?: string;
  /** 1 to 1,000. @default 100 */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly cursor?: string;
}

/** Newest first. */
export interface WorkflowPage {
  readonly runs: readonly WorkflowRun[];
  /** Present if there are more. */
  readonly next?: string;
}

/** What a callback is answered with. */
export type Answer = { readonly output: unknown } | { readonly error: ErrorRecord };

/**
 * Starts runs of workflows and looks after them, the same on every cloud.
 *
 * Errors are `MillraceError`s: `not-found` for an unknown workflow, run or callback, `conflict` for a verb the run's
 * state does not allow, `unavailable` when the cloud does not answer.
 */
export interface WorkflowClient {
  /**
   * Starts a run, or answers the one that has this id already, whatever its input was. A failed or stopped run keeps
   * its id too: retry it, or choose another.
   *
   * @param id letters, digits, `-` and `_`, a letter or digit first, at most 64. @default a random one
   */
  start(workflow: string, input: unknown, options?: { readonly id?: string }): Promise<WorkflowRun>;
  get(workflow: string, id: string): Promise<WorkflowHistory | undefined>;
  list(workflow: string, filter?: WorkflowFilter): Promise<WorkflowPage>;
  /** Asks what runs to end, then ends the run. One that is over is answered as it is. */
  stop(workflow: string, id: string): Promise<WorkflowRun>;
  /** Goes on with a failed or stopped run from the steps that did not succeed; those that did are not done again. */
  retry(workflow: string, id: string): Promise<WorkflowRun>;
  /** Answers a step that waits. An answer that came already counts; a second one is ignored. */
  answer(callback: string, answer: Answer): Promise<void>;
}

/** The bounds of a run's id, which every service of the kind takes. */
export const RUN_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
