import type { ErrorRecord } from "../errors.ts";
import type { Destination } from "./definition.ts";
import { isFinal, type Task, type TaskStatus } from "./task.ts";

/**
 * A run as it is stored. Times are milliseconds since 1970. Rows are never changed, only replaced: a step takes
 * one and makes the next.
 */
export interface TaskRow {
  readonly task: string;
  readonly id: string;
  /** Grows with every change but progress; a change names the version it was made from. */
  readonly version: number;
  readonly status: TaskStatus;
  readonly tenant: string | undefined;
  readonly lane: string;
  readonly priority: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly deadline: number | undefined;
  /** The order of submits, for admission and lists. A new round gets a new one. */
  readonly sequence: number;
  readonly submitted: number;
  /** When the row was last changed. */
  readonly updated: number;
  /** Not started before then; while `retrying`, the time of the next attempt. */
  readonly due: number;
  /** Given up if the round has no attempt by then. */
  readonly expires: number | undefined;
  /** Present exactly while the run holds a slot: until when it is trusted to run without being asked about. */
  readonly lease: number | undefined;
  /** Present once final: until when the run is remembered. */
  readonly keep: number | undefined;
  /** 1 at the first submit; grows when a failed or expired run's id is submitted again. */
  readonly round: number;
  /** The current or last attempt; 0 before the first. */
  readonly attempt: number;
  /** Attempts used of the task's `attempts`, the current one included. */
  readonly tries: number;
  /** Attempts the platform lost, since the budget was last filled. */
  readonly interruptions: number;
  /** The event that asked for this round. */
  readonly cause: string | undefined;
  /** How often the run has become final. */
  readonly outcomes: number;
  /** The last `--r<n>` made of this id. */
  readonly reruns: number;
  /** The latest attempts; the run's events tell of all. */
  readonly attempts: readonly AttemptRow[];
  /** The round's first start. */
  readonly started: number | undefined;
  readonly ended: number | undefined;
  readonly progress: number;
  readonly progressMessage: string | undefined;
  readonly error: ErrorRecord | undefined;
  readonly payload: BodyInfo;
  readonly result: BodyInfo | undefined;
  /** The outbox: who is still to be told of an outcome. */
  readonly deliveries: readonly PendingDelivery[];
  /** Keys in the claims bucket that go when the run goes. */
  readonly claims: readonly string[];
}

export interface AttemptRow {
  readonly number: number;
  readonly started: number;
  readonly ended?: number;
  readonly error?: ErrorRecord;
}

/** What a row says of a payload or result that lies beside it. */
export interface BodyInfo {
  /** Bytes. */
  readonly size: number;
  readonly preview: string;
  /** Its key in the claims bucket, if it is too large for the store. */
  readonly claim?: string;
}

export interface PendingDelivery {
  /** Which of the run's outcomes is told of. */
  readonly outcome: number;
  readonly destination: Destination;
  /** Sends that failed. */
  readonly tries: number;
  /** When to send next; until then a send may be under way. */
  readonly at: number;
  /** Makes a second send of the same one recognizable. */
  readonly key: string;
}

/** Whether the run waits for its next attempt: it holds no slot. */
export const isWaiting = ({ status }: Pick<TaskRow, "status">): boolean => status === "queued" || status === "retrying";

/** Whether the run holds a slot. */
export const isHeld = ({ status }: Pick<TaskRow, "status">): boolean => status === "running" || status === "stopping";

/** When somebody must look at the row next, other than to start it: expiry, a lapsed lease, a delivery, retention. */
export function wakeOf(row: TaskRow): number | undefined {
  if (isWaiting(row)) return row.started === undefined ? row.expires : undefined;
  if (!isFinal(row.status)) return row.lease;
  return row.deliveries.length > 0 ? Math.min(...row.deliveries.map(({ at }) => at)) : row.keep;
}

/** The run as everybody sees it. */
export function toTask(row: TaskRow): Task {
  return {
    task: row.task,
    id: row.id,
    status: row.status,
    ...(row.tenant !== undefined && { tenant: row.tenant }),
    lane: row.lane,
    priority: row.priority,
    tags: row.tags,
    progress: row.progress,
    ...(row.progressMessage !== undefined && { progressMessage: row.progressMessage }),
    submitted: iso(row.submitted),
    due: iso(row.due),
    ...(row.expires !== undefined && { expires: iso(row.expires) }),
    ...(row.deadline !== undefined && { deadline: iso(row.deadline) }),
    ...(row.started !== undefined && { started: iso(row.started) }),
    ...(row.ended !== undefined && { ended: iso(row.ended) }),
    attempts: row.attempts.map(({ number, started, ended, error }) => ({
      number,
      started: iso(started),
      ...(ended !== undefined && { ended: iso(ended) }),
      ...(error && { error }),
    })),
    ...(row.error && { error: row.error }),
    payloadPreview: row.payload.preview,
    ...(row.result && { resultPreview: row.result.preview }),
  };
}

/** Milliseconds since 1970 as ISO 8601. */
export const iso = (time: number): string => new Date(time).toISOString();
