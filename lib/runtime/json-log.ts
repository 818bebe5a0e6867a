import { inspect } from "node:util";
import type { Clock } from "./clock.ts";
import { toErrorRecord } from "./errors.ts";
import type { Log, LogFields, LogLevel, Metrics } from "./handler.ts";

/** Characters; the rest of a longer message or of longer fields is cut. */
const LONGEST = 16_384;
const LEVELS = ["debug", "info", "warn", "error"] as const satisfies readonly LogLevel[];

export interface JsonLogOptions {
  readonly clock: Pick<Clock, "now">;
  /** Takes one line, without its end. */
  readonly write: (line: string) => void;
  /** Lines below it are dropped. @default "info" */
  readonly level?: LogLevel;
  /** In every line: the run's id, for example. @default nothing */
  readonly fields?: LogFields;
}

/** A log of one JSON object a line, which every log service can search by field. */
export function jsonLog({ clock, write, level = "info", fields = {} }: JsonLogOptions): Log {
  const least = LEVELS.indexOf(level);
  const at = (one: LogLevel) => (message: string, more?: LogFields) => {
    if (LEVELS.indexOf(one) < least) return;
    const head = { time: new Date(clock.now()).toISOString(), level: one, message: cut(String(message)), ...fields };
    write(JSON.stringify(more === undefined ? head : { ...head, fields: toPlain(more) }));
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Numbers as lines of the same log. */
export function jsonMetrics({ clock, write, fields = {} }: JsonLogOptions): Metrics {
  const at = (kind: "count" | "gauge", metric: string, value: number) =>
    write(JSON.stringify({ time: new Date(clock.now()).toISOString(), metric, kind, value, ...fields }));
  return { count: (name, value = 1) => at("count", name, value), gauge: (name, value) => at("gauge", name, value) };
}

const cut = (text: string): string =>
  text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}… (${text.length} characters)`;

/** Fields as plain data, whatever was given. */
function toPlain(fields: LogFields): unknown {
  try {
    const text = JSON.stringify(fields, (_key, value) =>
      value instanceof Error ? toErrorRecord(value) : typeof value === "bigint" ? String(value) : value,
    );
    return text.length <= LONGEST ? (JSON.parse(text) as unknown) : cut(text);
  } catch {
    return cut(inspect(fields));
  }
}
