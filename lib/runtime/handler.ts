import type { Clock } from "./clock.ts";

/** One line of a run's log; `fields` are kept as data. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
export type LogFields = Readonly<Record<string, unknown>>;
export type LogLevel = keyof Log;

/** Numbers about the work, for dashboards and alarms. */
export interface Metrics {
  count(name: string, value?: number): void;
  gauge(name: string, value: number): void;
}

/** The run the handler works in. */
export interface Run {
  /** The task's id, or the invocation's where there is no task; the same at every retry. */
  readonly id: string;
  /** The task part's name; absent in a plain function. */
  readonly task?: string;
  readonly tenant?: string;
  /** 1 at the first try. */
  readonly attempt: number;
  /** When the platform ends this attempt, milliseconds since 1970. */
  readonly deadline: number;
  /** Says how far the work is: 0 to 1. Cheap to call often. */
  progress(fraction: number, message?: string): void;
}

/** Everything a handler may touch: nothing here knows a cloud. */
export interface Context<Links = unknown, Settings = unknown, Modules = unknown> {
  readonly links: Links;
  readonly settings: Settings;
  /** The user's modules given to the function by name. */
  readonly code: Modules;
  readonly run: Run;
  /** Aborts when the run is stopped, times out, or the platform goes away. */
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Paths of the tools the function asked for: `tools.ffmpeg`. */
  readonly tools: Readonly<Record<string, string>>;
  /** An empty folder of this invocation, removed when it ends, however it ends. */
  readonly scratch: string;
}

/** What a function does with one event. */
export type Handler<Event = unknown, Links = unknown, Settings = unknown, Result = unknown, Modules = unknown> = (
  event: Event,
  context: Context<Links, Settings, Modules>,
) => Promise<Result>;
