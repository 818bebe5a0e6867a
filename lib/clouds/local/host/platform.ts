import type { TaskPlan } from "../../../parts/plan.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { FunctionInvoked } from "../../../runtime/events.ts";
import { type AttemptRef, attemptId } from "../../../runtime/tasks/ids.ts";
import type { NewLogLine } from "../../../runtime/tasks/logs.ts";
import type { AttemptStart, AttemptState, Outcome, TaskPlatform } from "../../../runtime/tasks/platform.ts";
import type { LogLine } from "../runtime/channel.ts";
import type { Functions } from "./functions.ts";

/** Who is told what becomes of attempts. */
export interface AttemptListener {
  progressed(attempt: AttemptRef, fraction: number, message?: string): void;
  logged(attempt: AttemptRef, lines: readonly NewLogLine[]): void;
  finished(attempt: AttemptRef, outcome: Outcome): void;
}

export interface LocalPlatformOptions {
  readonly functions: Pick<Functions, "run">;
  readonly planOf: (task: string) => TaskPlan | undefined;
  readonly listener: AttemptListener;
}

/** Runs the attempts of tasks in their workers' processes. What is not in this process's memory is gone. */
export class LocalPlatform implements TaskPlatform {
  readonly #options: LocalPlatformOptions;
  readonly #running = new Map<string, AbortController>();

  constructor(options: LocalPlatformOptions) {
    this.#options = options;
  }

  start(attempt: AttemptStart): void {
    const plan = this.#options.planOf(attempt.task);
    if (!plan) throw new MillraceError("unavailable", `the task ${attempt.task} is not in the plan any more`);
    const stop = new AbortController();
    this.#running.set(keyOf(attempt), stop);
    void this.#run(attempt, plan, stop.signal);
  }

  stop(attempt: AttemptRef): void {
    this.#running.get(keyOf(attempt))?.abort();
  }

  inspect(attempt: AttemptRef): AttemptState {
    return this.#running.has(keyOf(attempt)) ? "running" : "gone";
  }

  async #run(attempt: AttemptStart, { worker, timeout, grace }: TaskPlan, signal: AbortSignal): Promise<void> {
    const { functions, listener } = this.#options;
    const { task, id, tenant, attempt: number, payload } = attempt;
    const event: FunctionInvoked = {
      type: "function.invoked",
      id: attempt.attemptId,
      payload,
      time: new Date(attempt.deadline - timeout * 1000).toISOString(),
    };
    const outcome = await functions.run(worker, {
      event,
      run: { id, task, attempt: number, ...(tenant !== undefined && { tenant }) },
      timeout: timeout * 1000,
      grace: grace * 1000,
      signal,
      onProgress: ({ fraction, message }) => listener.progressed(attempt, fraction, message),
      onLog: (lines) =>
        listener.logged(
          attempt,
          lines.map((line) => toLogLine(line, number)),
        ),
    });
    this.#running.delete(keyOf(attempt));
    listener.finished(attempt, outcome);
  }
}

const keyOf = (attempt: AttemptRef): string => `${attempt.task}\0${attemptId(attempt)}`;

/** A line as a process says it, as it is told. */
export const toLogLine = ({ time, ...line }: LogLine, attempt: number): NewLogLine => ({
  ...line,
  time: new Date(time).toISOString(),
  attempt,
});
