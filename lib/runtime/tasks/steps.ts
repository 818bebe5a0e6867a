import { type ErrorRecord, isRetryable, shortened } from "../errors.ts";
import { backoffMilliseconds, type Destination, type TaskDefinition } from "./definition.ts";
import { attemptId } from "./ids.ts";
import type { Outcome } from "./platform.ts";
import { type AttemptRow, type BodyInfo, isHeld, iso, type PendingDelivery, type TaskRow } from "./row.ts";
import type { RowExtras } from "./store.ts";
import type { TaskEvent } from "./task.ts";

/** One move of a run: its next row, and what is written with it. Steps are pure; whoever takes one stores it. */
export interface Step extends RowExtras {
  readonly row: TaskRow;
}

/** Attempts the platform may lose before a run fails for it: a run that kills its host must not do so for ever. */
export const MOST_INTERRUPTIONS = 100;

/** Attempts a row keeps in full. */
const KEPT_ATTEMPTS = 50;

/** How long the process that ends a run has to tell the destinations before another one does it. */
export const DELIVERY_RESERVE = 5 * 60_000;

/** A stop that has not ended the attempt this long after its grace is asked again. */
export const STOP_SLACK = 30_000;

/** Short: mostly somebody restarts a host, and waits for it. */
const INTERRUPTED_BACKOFF = { first: 1, factor: 2, longest: 30 };

/** What a submit asks for, with all defaults settled. */
export interface SubmitRequest {
  readonly task: string;
  readonly id: string;
  readonly tenant: string | undefined;
  readonly lane: string;
  readonly priority: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly deadline: number | undefined;
  readonly due: number;
  readonly expires: number | undefined;
  readonly cause: string | undefined;
  readonly by: string;
}

/** A body made ready to be stored: in the row's neighbourhood, or by its key in the claims bucket. */
export interface PackedBody {
  readonly info: BodyInfo;
  /** Absent if it lies in the claims bucket. */
  readonly text?: string;
}

/** A run that was not there before. */
export function submitted(request: SubmitRequest, payload: PackedBody, sequence: number, now: number): Step {
  const { by, ...asked } = request;
  return {
    row: {
      ...asked,
      version: 1,
      status: "queued",
      sequence,
      submitted: now,
      updated: now,
      lease: undefined,
      keep: undefined,
      round: 1,
      attempt: 0,
      tries: 0,
      interruptions: 0,
      outcomes: 0,
      reruns: 0,
      attempts: [],
      started: undefined,
      ended: undefined,
      progress: 0,
      progressMessage: undefined,
      error: undefined,
      payload: payload.info,
      result: undefined,
      deliveries: [],
      claims: claimsOf(payload),
    },
    event: event("submitted", by, now),
    bodies: { payload: payload.text ?? null },
  };
}

/** Whether a run in this state answers a submit of its id, instead of starting a new round. */
export const answers = ({ status, cause }: TaskRow, request: SubmitRequest): boolean =>
  (status !== "failed" && status !== "expired") || (cause !== undefined && cause === request.cause);

/** A failed or expired run whose id is submitted again: a new round, with attempts counting on. */
export function resubmitted(
  row: TaskRow,
  request: SubmitRequest,
  payload: PackedBody,
  sequence: number,
  now: number,
): Step {
  const fresh = submitted(request, payload, sequence, now);
  return {
    row: {
      ...fresh.row,
      version: row.version,
      round: row.round + 1,
      attempt: row.attempt,
      outcomes: row.outcomes,
      reruns: row.reruns,
      attempts: row.attempts,
      deliveries: row.deliveries,
      claims: [...row.claims, ...claimsOf(payload)],
    },
    event: event("submitted", request.by, now, `round ${row.round + 1}, after the one before ${row.status}`),
    bodies: { payload: payload.text ?? null, result: null },
  };
}

/** A waiting run that got a slot. */
export function started(row: TaskRow, now: number, lease: number): Step {
  const attempt = row.attempt + 1;
  return {
    row: {
      ...row,
      status: "running",
      updated: now,
      lease: now + lease,
      attempt,
      tries: row.tries + 1,
      attempts: [...row.attempts, { number: attempt, started: now }].slice(-KEPT_ATTEMPTS),
      started: row.started ?? now,
      progress: 0,
      progressMessage: undefined,
    },
    event: event("started", "platform", now, `attempt ${attempt}`),
  };
}

/** The current attempt came to its end: what becomes of the run. */
export function concluded(
  row: TaskRow,
  definition: TaskDefinition,
  outcome: Outcome,
  result: PackedBody | undefined,
  now: number,
  random: () => number,
): Step {
  // A success that was finished before the stop reached it is a success: its work is done and visible.
  if (!("error" in outcome)) return succeeded(row, definition, result, now);
  const error = shortened(outcome.error);
  if (row.status === "stopping" || error.kind === "stopped") {
    return ended(row, definition, "stopped", asStopped(error), "platform", now);
  }
  if (error.kind === "expired") return ended(row, definition, "expired", error, "platform", now);
  if (error.kind === "interrupted" && row.interruptions < MOST_INTERRUPTIONS)
    return interrupted(row, error, now, random);
  if (error.kind !== "interrupted" && isRetryable(error) && row.tries < definition.attempts) {
    return retrying(row, definition, error, now, random);
  }
  return ended(row, definition, "failed", error, "platform", now);
}

function succeeded(row: TaskRow, definition: TaskDefinition, result: PackedBody | undefined, now: number): Step {
  const end = ended(row, definition, "succeeded", undefined, "platform", now);
  return {
    ...end,
    row: {
      ...end.row,
      progress: 1,
      result: result?.info,
      claims: result ? [...row.claims, ...claimsOf(result)] : row.claims,
    },
    ...(result?.text !== undefined && { bodies: { result: result.text } }),
  };
}

/**
 * The platform lost the attempt: it is made again without using one up. The first time at once and in its old
 * place in the queue; a run that is lost again and again waits in between.
 */
function interrupted(row: TaskRow, error: ErrorRecord, now: number, random: () => number): Step {
  const wait =
    row.interruptions === 0 ? undefined : now + backoffMilliseconds(INTERRUPTED_BACKOFF, row.interruptions, random);
  return {
    row: {
      ...row,
      status: "queued",
      updated: now,
      due: wait ?? row.due,
      lease: undefined,
      tries: row.tries - 1,
      interruptions: row.interruptions + 1,
      attempts: withEnd(row.attempts, now, error),
      error,
    },
    event: event("interrupted", "platform", now, error.message),
  };
}

function retrying(
  row: TaskRow,
  definition: TaskDefinition,
  error: ErrorRecord,
  now: number,
  random: () => number,
): Step {
  const wait = backoffMilliseconds(definition.backoff, row.tries, random);
  const message = `attempt ${row.tries} of ${definition.attempts} ${error.kind}, next in ${wait / 1000} s: ${error.message}`;
  return {
    row: {
      ...row,
      status: "retrying",
      updated: now,
      due: now + wait,
      lease: undefined,
      attempts: withEnd(row.attempts, now, error),
      error,
    },
    event: event("retrying", "platform", now, message),
  };
}

/** The run is over. Who is to be told is decided in the same row, so that no crash can come between. */
export function ended(
  row: TaskRow,
  definition: TaskDefinition,
  status: "succeeded" | "failed" | "stopped" | "expired",
  error: ErrorRecord | undefined,
  by: string,
  now: number,
): Step {
  const outcome = row.outcomes + 1;
  const destinations = status === "succeeded" ? definition.onSuccess : definition.onFailure;
  return {
    row: {
      ...row,
      status,
      updated: now,
      ended: now,
      lease: undefined,
      keep: now + definition.retention * 1000,
      outcomes: outcome,
      attempts: isHeld(row) ? withEnd(row.attempts, now, error) : row.attempts,
      error,
      deliveries: [...row.deliveries, ...destinations.map((to) => delivery(row, outcome, to, now))],
    },
    event: event(status, by, now, error?.message),
  };
}

/** Somebody wants the run to end; nothing, if it is over or about to be. */
export function stopAsked(row: TaskRow, definition: TaskDefinition, by: string, now: number): Step | undefined {
  if (row.status === "queued" || row.status === "retrying") {
    return ended(row, definition, "stopped", { kind: "stopped", message: `stopped by ${by}` }, by, now);
  }
  if (row.status !== "running") return undefined;
  return {
    row: { ...row, status: "stopping", updated: now, lease: now + definition.grace * 1000 + STOP_SLACK },
    event: event("stopping", by, now),
  };
}

/** A run that is over is to run again, with the payload it had and all its attempts. */
export function retried(row: TaskRow, definition: TaskDefinition, by: string, now: number): Step {
  return {
    row: {
      ...row,
      status: "queued",
      updated: now,
      due: now,
      expires: definition.expires === undefined ? undefined : now + definition.expires * 1000,
      keep: undefined,
      tries: 0,
      interruptions: 0,
      started: undefined,
      ended: undefined,
      progress: 0,
      progressMessage: undefined,
      error: undefined,
      result: undefined,
    },
    event: event("retried", by, now),
    bodies: { result: null },
  };
}

/** The platform says the run goes on: it is trusted for that long again. */
export const renewed = (row: TaskRow, now: number, lease: number): Step => ({
  row: { ...row, updated: now, lease: now + lease },
});

const delivery = (row: TaskRow, outcome: number, destination: Destination, now: number): PendingDelivery => ({
  outcome,
  destination,
  tries: 0,
  at: now + DELIVERY_RESERVE,
  // A run can become final twice after the same attempt (stopped while it waits to be retried), hence the outcome.
  key: `${row.task}/${attemptId(row)}/${outcome}/${destination.kind}/${destination.name}`,
});

const withEnd = (attempts: readonly AttemptRow[], now: number, error: ErrorRecord | undefined): AttemptRow[] =>
  attempts.map((attempt, index) =>
    index === attempts.length - 1 ? { ...attempt, ended: now, ...(error && { error }) } : attempt,
  );

const claimsOf = ({ info }: PackedBody): string[] => (info.claim === undefined ? [] : [info.claim]);

/** An event as it is stored. */
export const event = (type: TaskEvent["type"], by: string, now: number, message?: string): TaskEvent => ({
  time: iso(now),
  type,
  by,
  ...(message !== undefined && { message }),
});

const asStopped = (error: ErrorRecord): ErrorRecord =>
  error.kind === "stopped" ? error : { ...error, kind: "stopped", message: `stopped; it ended with: ${error.message}` };
