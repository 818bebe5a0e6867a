import type { ComponentResourceOptions } from "@pulumi/pulumi";
import type { FunctionInvoked } from "../runtime/events.ts";
import type { Handler } from "../runtime/handler.ts";
import { Construct, type ConstructArgs, type FunctionPart, type Monitor, type Queue, type TaskPart, type TaskSpec } from "../parts/index.ts";

/** Settings of {@link AsyncTask}: the task itself, and the cloud it runs on. */
export type AsyncTaskArgs<H> = ConstructArgs & TaskSpec<H>;

/**
 * A stateful background task: runs have ids, states and histories; the same id never runs twice.
 *
 *     submit ─┐
 *     events ─┴▶ dispatch ─▶ queued ─▶ work ─┬▶ onSuccess
 *                                            └▶ failures, onFailure
 *
 * @example
 * const resize = new AsyncTask("resize", {
 *   cloud,
 *   handler: code<typeof import("./resize.ts")>(new URL("./resize.ts", import.meta.url)),
 *   timeout: "2 hours",
 *   concurrency: 10,
 * });
 */
export class AsyncTask<H extends Handler<FunctionInvoked, never, never, unknown, never>> extends Construct {
  /** Submit to it by `TaskClient`, or link it: `submit(resize.task)`. */
  readonly task: TaskPart;
  /** One envelope for every run that failed, was stopped or expired. */
  readonly failures: Queue;
  readonly monitor: Monitor;

  constructor(name: string, args: AsyncTaskArgs<H>, opts?: ComponentResourceOptions) {
    super("AsyncTask", name, args, opts);
    const { onFailure = [] } = args;

    this.failures = this.queue("failures");
    this.task = this.task_(args, [this.failures, ...[onFailure].flat()]);
    this.monitor = this.monitor("alarms", { alarms: [{ part: this.task, metric: "failures", above: 0 }] });

    this.build();
  }
}
