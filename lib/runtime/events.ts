import type { SubmitOptions } from "./tasks/task.ts";

/** An object appeared in a bucket, or was overwritten. */
export interface BucketCreated {
  readonly type: "bucket.created";
  /** The same for every delivery of the same event. */
  readonly id: string;
  readonly bucket: string;
  /** The key as it is stored, decoded. */
  readonly key: string;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
  /** ISO 8601. */
  readonly time: string;
}

/** A message came out of a queue. */
export interface QueueReceived {
  readonly type: "queue.received";
  /** The message's id; the same for every delivery. */
  readonly id: string;
  readonly queue: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** How often this message has been delivered, this time included. */
  readonly receives: number;
  /** ISO 8601. */
  readonly time: string;
}

/** A schedule came round. */
export interface ScheduleFired {
  readonly type: "schedule.fired";
  readonly id: string;
  readonly schedule: string;
  /** The time it was due, not the time it was noticed; ISO 8601. */
  readonly time: string;
}

/** Somebody called the function: another function, a client, or a task's destination. */
export interface FunctionInvoked<Payload = unknown> {
  readonly type: "function.invoked";
  readonly id: string;
  readonly payload: Payload;
  /** How the caller of a task's dispatcher wants the payload submitted. */
  readonly options?: SubmitOptions;
  /** ISO 8601. */
  readonly time: string;
}

/** Whatever can start a function, the same on every cloud. */
export type SourceEvent = BucketCreated | QueueReceived | ScheduleFired | FunctionInvoked;
