import type { ComponentResourceOptions } from "@pulumi/pulumi";
import {
  type AlarmArgs,
  alarmsFor,
  Construct,
  type ConstructArgs,
  type Monitor,
  type Queue,
  type TaskPart,
  type TaskSpec,
} from "../parts/index.ts";
import type { FunctionInvoked } from "../runtime/events.ts";
import type { Handler } from "../runtime/handler.ts";

/** Settings of {@link AsyncTask}: the task itself, the cloud it runs on, and who is told of failures. */
export type AsyncTaskArgs<H> = ConstructArgs & AlarmArgs & TaskSpec<H>;

/**
 * A stateful background task: runs have ids, states and histories; the same id never runs twice.
 *
 *     submit ─┐
 *     events ─┴▶ dispatch ─▶ queued ─▶ work ─┬▶ onSuccess
 *                                            └▶ failures, onFailure
 *
 * When a deploy changes the code, an attempt that runs finishes on the code it began with; the next attempt, and every
 * run that waits, takes the new code; a run whose task is gone waits until it is back.
 *
 * @example
 * const resize = new AsyncTask("resize", {
 *   cloud,
 *   handler: code<typeof import("./resize.ts")>(new URL("./resize.ts", import.meta.url)),
 *   timeout: "2 hours",
 *   concurrency: 10,
 * });
 */
export class AsyncTask<H extends Handler<FunctionInvoked<never>, never, never, unknown, never>> extends Construct {
  /** Submit to it by `TaskClient`, or link it: `submit(resize.runs)`. */
  readonly runs: TaskPart;
  /** One envelope for every run that failed, was stopped or expired. */
  readonly failures: Queue;
  /** Alarms on the first failure. */
  readonly alarms: Monitor;

  constructor(name: string, args: AsyncTaskArgs<H>, opts?: ComponentResourceOptions) {
    super("AsyncTask", name, args, opts);

    this.failures = this.queue("failures");
    this.runs = this.task<H>("task", args, { onFailure: [this.failures, ...[args.onFailure ?? []].flat()] });
    this.alarms = this.monitor("alarms", alarmsFor(args, [{ part: this.runs, metric: "failures", above: 0 }]));

    this.build();
  }
}
