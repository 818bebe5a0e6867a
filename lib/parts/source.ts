import type { BucketCreated, QueueReceived, ScheduleFired, StreamConsumed } from "../runtime/events.ts";
import { parseCron } from "../shared/cron.ts";
import { type Duration, toSeconds } from "../shared/duration.ts";
import { refuse, unknownOptions } from "../shared/problem.ts";
import type { Bucket, Queue, Schedule, Stream } from "./part.ts";
import type { SourcePlan, TimingPlan } from "./plan.ts";

declare const event: unique symbol;

/** What starts a function, as data; the function's cloud binds it. */
export interface Source<Event = unknown> {
  /** Absent in a timing that has no schedule part yet; the construct makes one. */
  readonly plan?: SourcePlan;
  readonly timing?: TimingPlan;
  readonly [event]?: Event;
}

/**
 * An object was put into the bucket.
 *
 * @example
 * when: created(uploads, { prefix: "in/", suffix: ".mp4" })
 */
export function created(
  bucket: Bucket,
  options: { readonly prefix?: string; readonly suffix?: string } = {},
): Source<BucketCreated> {
  refuse(unknownOptions(`created(${bucket.name})`, options, { prefix: true, suffix: true }));
  const { prefix = "", suffix = "" } = options;
  return { plan: { type: "bucket.created", bucket: bucket.name, prefix, suffix } };
}

/**
 * Messages came into the queue; one that fails is received again, up to the queue's `attempts`.
 *
 * @param options.batch most messages in one invocation. @default 1
 * @param options.window longest wait for a batch to fill. @default none
 */
export function received(
  queue: Queue,
  options: { readonly batch?: number; readonly window?: Duration } = {},
): Source<QueueReceived> {
  refuse(unknownOptions(`received(${queue.name})`, options, { batch: true, window: true }));
  const { batch = 1, window = "0 seconds" } = options;
  return { plan: { type: "queue.received", queue: queue.name, batch, window: toSeconds(window) } };
}

/**
 * Records came into the stream. A batch that fails is given again, and those behind it in its partitions wait; how
 * often is the function's `attempts`, then its records go to `failures`. Without such a queue it is given again until it
 * is done.
 *
 * @param options.batch most records in one invocation. @default 100
 * @param options.window longest wait for a batch to fill. @default "1 second"
 * @param options.from where it begins that has never read. @default "latest"
 * @param options.group whose place in the stream it takes: functions of one group share its records. @default its own
 * @example
 * when: consumed(orders, { batch: 500, window: "5 seconds", from: "earliest" })
 */
export function consumed(
  stream: Stream,
  options: {
    readonly batch?: number;
    readonly window?: Duration;
    readonly from?: "earliest" | "latest";
    readonly group?: string;
  } = {},
): Source<StreamConsumed> {
  refuse(unknownOptions(`consumed(${stream.name})`, options, { batch: true, window: true, from: true, group: true }));
  const { batch = 100, window = "1 second", from = "latest", group } = options;
  const rest = { batch, window: toSeconds(window), from, ...(group !== undefined && { group }) };
  return { plan: { type: "stream.consumed", stream: stream.name, ...rest } };
}

/** A schedule part came round. */
export const fired = (schedule: Schedule): Source<ScheduleFired> => ({
  plan: { type: "schedule.fired", schedule: schedule.name },
});

/** Again and again after that time: `every("5 minutes")`. */
export const every = (interval: Duration): Source<ScheduleFired> => ({ timing: { every: toSeconds(interval) } });

/**
 * At times given by five fields: minute, hour, day of month, month, day of week.
 *
 * @param options.timeZone an IANA name. @default UTC
 * @example
 * cron("0 4 * * *", { timeZone: "Asia/Shanghai" })
 */
export function cron(expression: string, options: { readonly timeZone?: string } = {}): Source<ScheduleFired> {
  refuse(unknownOptions(`cron(${JSON.stringify(expression)})`, options, { timeZone: true }));
  const { timeZone = "UTC" } = options;
  parseCron(expression, timeZone);
  return { timing: { cron: expression, timeZone } };
}

/** The part that a source watches. */
export function partOf(source: SourcePlan): string {
  switch (source.type) {
    case "bucket.created":
      return source.bucket;
    case "queue.received":
      return source.queue;
    case "schedule.fired":
      return source.schedule;
    case "stream.consumed":
      return source.stream;
  }
}
