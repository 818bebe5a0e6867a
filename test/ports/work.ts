import { type ErrorKind, MillraceError } from "../../lib/runtime/errors.ts";
import type { FunctionInvoked } from "../../lib/runtime/events.ts";
import type { Context } from "../../lib/runtime/handler.ts";

/** What a run is told to do by its payload. */
export type Work =
  | { readonly do: "succeed"; readonly result?: unknown; readonly milliseconds?: number }
  /** Fails in the first `times` attempts, then succeeds. @default always */
  | { readonly do: "fail"; readonly kind: ErrorKind; readonly times?: number }
  /** Until it is stopped; `stubborn` ones do not listen. */
  | { readonly do: "wait"; readonly stubborn?: boolean }
  | { readonly do: "log"; readonly lines: number }
  /** Reports half its way, then waits until it is stopped. */
  | { readonly do: "progress" };

/** The handler of the suite's tasks, to be run by the subject's platform as it runs any. */
export async function handler(
  { payload }: Pick<FunctionInvoked<Work>, "payload">,
  { run, log, signal }: Pick<Context, "run" | "log" | "signal">,
): Promise<unknown> {
  switch (payload.do) {
    case "succeed":
      if (payload.milliseconds) await new Promise((resolve) => setTimeout(resolve, payload.milliseconds));
      return payload.result;
    case "fail":
      if (run.attempt > (payload.times ?? Infinity)) return { attempt: run.attempt };
      throw new MillraceError(payload.kind, `attempt ${run.attempt} was told to fail`);
    case "log":
      for (let line = 1; line <= payload.lines; line += 1) log.info(`line ${line}`, { line });
      return undefined;
    case "progress":
      run.progress(0.5, "half");
      return untilStopped(signal);
    case "wait":
      log.info("waiting");
      return payload.stubborn ? new Promise((resolve) => setTimeout(resolve, 30_000)) : untilStopped(signal);
  }
}

const untilStopped = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    const stop = () => reject(new MillraceError("stopped", "stopped while waiting"));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
