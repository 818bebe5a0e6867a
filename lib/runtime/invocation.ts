import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "./clock.ts";
import type { PortWorld } from "./deployment.ts";
import { MillraceError } from "./errors.ts";
import type { SourceEvent } from "./events.ts";
import type { LogLevel, Run } from "./handler.ts";
import { jsonLog, jsonMetrics } from "./json-log.ts";
import { type Definition, type Served, serve } from "./serve.ts";

/** How an invocation on a platform is set up. */
export interface InvocationOptions {
  readonly run: Run;
  /** Milliseconds before the run's deadline at which its signal aborts: time to leave nothing half done. @default 2000 */
  readonly margin?: number;
  /** Aborts the invocation too, with its reason. @default nobody does */
  readonly signal?: AbortSignal;
  /** Makes the links, once the invocation has its folder and signal. */
  readonly connect: (world: PortWorld) => Promise<Readonly<Record<string, object>>>;
  readonly tools: Readonly<Record<string, string>>;
  /** Takes a line of the log. */
  readonly write: (line: string) => void;
  readonly level?: LogLevel;
  /** @default the machine's */
  readonly clock?: Clock;
}

/**
 * Serves one invocation where the platform gives nothing but a process: a folder of its own, made and removed with
 * it, a log of JSON lines that name the run, and an end before the platform's own.
 */
export async function invocation(
  definition: Definition,
  events: readonly SourceEvent[],
  options: InvocationOptions,
): Promise<Served> {
  const { run, clock = systemClock, write, level = "info", connect, tools } = options;
  const { id, task, attempt } = run;
  const logging = { clock, write, level, fields: { run: id, ...(task !== undefined && { task, attempt }) } };
  const log = jsonLog(logging);
  const deadline = endBefore(run.deadline, options, clock);
  const folder = await mkdtemp(join(tmpdir(), "millrace-"));
  try {
    const [scratch, files] = [join(folder, "scratch"), join(folder, "files")];
    await Promise.all([mkdir(scratch), mkdir(files)]);
    const { signal } = deadline;
    const links = await connect({ signal, clock, log, files });
    const world = { links, run, signal, log, metrics: jsonMetrics(logging), clock, tools, scratch };
    return await serve(definition, events, () => world);
  } finally {
    deadline.cancel();
    await rm(folder, { recursive: true, force: true });
  }
}

function endBefore(deadline: number, { margin = 2000, signal }: InvocationOptions, clock: Clock) {
  const late = new AbortController();
  const reason = new MillraceError("timed-out", "the function's time is over");
  const cancel = clock.at(deadline - margin, () => late.abort(reason));
  return { signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal, cancel };
}
