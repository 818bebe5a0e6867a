import type { LogFields, LogLevel } from "../handler.ts";
import type { TaskLogLine } from "./task.ts";

/** A line of a run as `jsonLog` prints it. */
export interface PrintedLine {
  /** ISO 8601. */
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly run: string;
  readonly task: string;
  readonly attempt: number;
  readonly fields?: LogFields;
}

/** A line, and when the log service says it was: milliseconds since 1970. */
export interface FoundLine {
  readonly at: number;
  readonly line: PrintedLine;
}

/** A line's sequence is its time and its place among the lines of the same millisecond. */
const PER_MILLISECOND = 1000;

/** What a log service has, if it is a line of that run: not numbers, nor what the platform or the user's code prints. */
export function printedLine(text: string, task: string, id: string): PrintedLine | undefined {
  try {
    const line = JSON.parse(text) as PrintedLine | null;
    const isLine = typeof line?.level === "string" && typeof line.message === "string";
    return isLine && line.run === id && line.task === task ? line : undefined;
  } catch {
    return undefined;
  }
}

/** When the line with that sequence was, milliseconds since 1970: where to read on. */
export const timeOf = (sequence: number): number => Math.floor(sequence / PER_MILLISECOND);

/** Lines in order of time, as they are read: those after that sequence. */
export function inSequence(found: readonly FoundLine[], after: number): readonly TaskLogLine[] {
  let last = 0;
  return found.flatMap(({ at, line }) => {
    last = Math.max(at * PER_MILLISECOND, last + 1);
    const { time, attempt, level, message, fields } = line;
    return last <= after ? [] : [{ sequence: last, time, attempt, level, message, ...(fields && { fields }) }];
  });
}
