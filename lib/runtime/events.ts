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

/** Records came out of a stream: in order in each partition, and there may be some of several. */
export interface StreamConsumed {
  readonly type: "stream.consumed";
  /** `<stream>-<partition>-<offset>` of the first record. */
  readonly id: string;
  /** The stream's logical name. */
  readonly stream: string;
  readonly records: readonly StreamRecord[];
  /** ISO 8601. */
  readonly time: string;
}

/** A record, as the stream has it. */
export interface StreamRecord {
  readonly partition: number;
  /** Its place in the partition: it grows from record to record, not always by one. */
  readonly offset: number;
  /** Milliseconds since 1970; what the sender says, it may be anything. */
  readonly timestamp: number;
  /** Absent: it has none. */
  readonly key?: Uint8Array;
  /** Absent: none, which says in some streams that the key is gone. */
  readonly value?: Uint8Array;
  readonly headers: Readonly<Record<string, Uint8Array>>;
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
export type SourceEvent = BucketCreated | QueueReceived | ScheduleFired | StreamConsumed | FunctionInvoked;

/** What stands for one piece of work: a batch of records is many. */
export type SingleEvent = Exclude<SourceEvent, StreamConsumed>;
