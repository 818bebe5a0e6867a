import { type Clock, sleep } from "../clock.ts";
import { MillraceError, toErrorRecord } from "../errors.ts";
import type { FunctionInvoked } from "../events.ts";
import type { Run } from "../handler.ts";
import type { AttemptCall } from "./attempt.ts";
import type { PayloadReference } from "./envelope.ts";
import type { AttemptRef } from "./ids.ts";
import type { Outcome } from "./platform.ts";
import { isHeld } from "./row.ts";
import type { Task } from "./task.ts";

/** What a worker's process reports to, and asks. */
export interface AttemptHost {
  get(task: string, id: string): Promise<Task | undefined>;
  payload(reference: PayloadReference): Promise<unknown>;
  progressed(attempt: AttemptRef, fraction: number, message?: string): Promise<void>;
  /** Resolves once the end is stored and whoever is to be told has been told, or will be by somebody else. */
  finished(attempt: AttemptRef, outcome: Outcome): Promise<void>;
}

/** Does the work of one attempt. */
export type Work = (event: FunctionInvoked, run: Run, signal: AbortSignal) => Promise<Outcome>;

/** How often a worker looks whether its run is to stop, in milliseconds: a part of the shortest useful grace. */
const LOOK = 5000;
/** Progress is stored at most that often, in milliseconds. */
const PROGRESS = 2000;

/**
 * Runs one attempt where the platform cannot reach into the process: looks for the request to stop, stores progress,
 * and reports the end. A run that has gone on without this attempt ends it.
 */
export async function workAttempt(call: AttemptCall, host: AttemptHost, clock: Clock, work: Work): Promise<Outcome> {
  const { task, id, attempt, attemptId, tenant, deadline } = call;
  const over = new AbortController();
  const stop = new AbortController();
  const watching = watch(call, host, clock, stop, over.signal);
  const progress = new ProgressReport(call, host, clock);
  let outcome: Outcome;
  try {
    const payload = await payloadOf(call, host);
    const time = new Date(clock.now()).toISOString();
    const event: FunctionInvoked = { type: "function.invoked", id: attemptId, payload, time };
    const run: Run = {
      id,
      task,
      attempt,
      deadline,
      ...(tenant !== undefined && { tenant }),
      progress: (fraction, message) => progress.report(fraction, message),
    };
    outcome = await work(event, run, stop.signal);
  } catch (error) {
    outcome = { error: toErrorRecord(error) };
  } finally {
    over.abort();
    await watching;
  }
  // What failed after it was asked to end failed for that reason; what is done all the same is done.
  if ("error" in outcome && stop.signal.aborted) outcome = { error: toErrorRecord(stop.signal.reason) };
  await progress.flush();
  await host.finished(call, outcome);
  return outcome;
}

const payloadOf = ({ payload }: AttemptCall, host: AttemptHost): Promise<unknown> =>
  "reference" in payload ? host.payload(payload.reference) : Promise.resolve(payload.value);

async function watch(call: AttemptCall, host: AttemptHost, clock: Clock, stop: AbortController, over: AbortSignal) {
  while (!over.aborted && !stop.signal.aborted) {
    const isOver = await sleep(clock, LOOK, over).then(
      () => false,
      () => true,
    );
    if (isOver) return;
    // A look that fails says nothing; the next one may.
    const run = await host.get(call.task, call.id).catch(() => call);
    const reason = run === call ? undefined : reasonToEnd(run as Task | undefined, call);
    if (reason) stop.abort(reason);
  }
}

/** Why the attempt is to end; nothing, if it is to go on. */
export function reasonToEnd(run: Task | undefined, attempt: Pick<AttemptRef, "attempt">): MillraceError | undefined {
  if (!isUnderWay(run, attempt)) return new MillraceError("interrupted", "the run has gone on without this attempt");
  return run?.status === "stopping" ? new MillraceError("stopped", "the run was asked to stop") : undefined;
}

/** Whether it is this attempt that the run waits for. */
export const isUnderWay = (run: Task | undefined, { attempt }: Pick<AttemptRef, "attempt">): boolean =>
  run !== undefined && isHeld(run) && run.attempts.at(-1)?.number === attempt;

/** Stores the latest progress: the first at once, then from time to time, and the last in any case. */
class ProgressReport {
  readonly #attempt: AttemptRef;
  readonly #host: AttemptHost;
  readonly #clock: Clock;
  #latest: readonly [number, string | undefined] | undefined;
  #storing: Promise<void> | undefined;
  #next = 0;

  constructor(attempt: AttemptRef, host: AttemptHost, clock: Clock) {
    this.#attempt = attempt;
    this.#host = host;
    this.#clock = clock;
  }

  report(fraction: number, message?: string): void {
    this.#latest = [fraction, message];
    if (this.#storing || this.#clock.now() < this.#next) return;
    this.#next = this.#clock.now() + PROGRESS;
    this.#storing = this.#store().finally(() => {
      this.#storing = undefined;
    });
  }

  async flush(): Promise<void> {
    await this.#storing;
    await this.#store();
  }

  async #store(): Promise<void> {
    const latest = this.#latest;
    this.#latest = undefined;
    if (latest) await this.#host.progressed(this.#attempt, ...latest);
  }
}
