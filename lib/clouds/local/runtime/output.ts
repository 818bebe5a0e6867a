import { format, inspect } from "node:util";
import type { Clock } from "../../../runtime/clock.ts";
import { toErrorRecord } from "../../../runtime/errors.ts";
import type { Log, LogFields, LogLevel } from "../../../runtime/handler.ts";
import type { LogLine, Progress } from "./channel.ts";

/** What is written faster than this goes together, in milliseconds. */
const LOG_INTERVAL = 20;
/** Five a second. */
const PROGRESS_INTERVAL = 200;
/** Characters; the rest of a longer line is cut. */
export const LONGEST_LINE = 16_384;
/** Characters of one invocation's log; what comes after is counted, not kept. */
export const LONGEST_LOG = 8 * 2 ** 20;

/** Hands values on at most once per interval: the first at once, and the last in any case. */
class Throttle {
  readonly #interval: number;
  readonly #flush: () => void;
  #timer: NodeJS.Timeout | undefined;
  #isDirty = false;

  constructor(interval: number, flush: () => void) {
    this.#interval = interval;
    this.#flush = flush;
  }

  touch(): void {
    this.#isDirty = true;
    if (this.#timer) return;
    this.flush();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#isDirty) this.touch();
    }, this.#interval);
    this.#timer.unref();
  }

  flush(): void {
    if (!this.#isDirty) return;
    this.#isDirty = false;
    this.#flush();
  }
}

/** The log of one invocation: lines in the order they were written, sent in groups. */
export class InvocationLog implements Log {
  readonly #clock: Clock;
  readonly #send: (lines: readonly LogLine[]) => void;
  readonly #throttle = new Throttle(LOG_INTERVAL, () => this.#sendLines());
  #lines: LogLine[] = [];
  #length = 0;
  #dropped = 0;

  constructor(clock: Clock, send: (lines: readonly LogLine[]) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  debug(message: string, fields?: LogFields): void {
    this.write("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.write("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.write("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.write("error", message, fields);
  }

  write(level: LogLevel, text: string, given?: LogFields): void {
    const message = cutLine(String(text));
    const fields = given && toPlainFields(given);
    this.#length += message.length + (fields ? JSON.stringify(fields).length : 0);
    if (this.#length > LONGEST_LOG) {
      this.#dropped += 1;
      return;
    }
    this.#lines.push({ time: this.#clock.now(), level, message, ...(fields && { fields }) });
    this.#throttle.touch();
  }

  /** Sends all there is; called before the invocation's end is told. */
  flush(): void {
    if (this.#dropped > 0) {
      this.#lines.push({
        time: this.#clock.now(),
        level: "warn",
        message: `the log is cut at ${LONGEST_LOG / 2 ** 20} MB: ${this.#dropped} more lines were dropped`,
      });
      this.#dropped = 0;
    }
    this.#throttle.flush();
    this.#sendLines();
  }

  #sendLines(): void {
    if (this.#lines.length === 0) return;
    this.#send(this.#lines);
    this.#lines = [];
  }
}

/** A line as it is kept: whole, or cut with a note of how long it was. */
export const cutLine = (line: string): string =>
  line.length <= LONGEST_LINE ? line : `${line.slice(0, LONGEST_LINE)}… (${line.length} characters)`;

/** Fields as plain data, whatever was given: errors with their message, what refers to itself as text. */
function toPlainFields(fields: LogFields): LogFields {
  try {
    const text = JSON.stringify(fields, (_key, value) =>
      value instanceof Error ? toErrorRecord(value) : typeof value === "bigint" ? String(value) : value,
    );
    if (text.length <= LONGEST_LINE) return JSON.parse(text);
    return { text: cutLine(text) };
  } catch {
    return { text: cutLine(inspect(fields)) };
  }
}

/** Says how far the run is: the latest at most five times a second, the last one always. */
export class ProgressReport {
  readonly #send: (progress: Progress) => void;
  readonly #throttle = new Throttle(PROGRESS_INTERVAL, () => this.#sendLatest());
  #latest: Progress | undefined;

  constructor(send: (progress: Progress) => void) {
    this.#send = send;
  }

  report(fraction: number, message?: string): void {
    if (Number.isNaN(fraction)) return;
    this.#latest = { fraction: Math.min(1, Math.max(0, fraction)), ...(message !== undefined && { message }) };
    this.#throttle.touch();
  }

  flush(): void {
    this.#throttle.flush();
  }

  #sendLatest(): void {
    if (this.#latest) this.#send(this.#latest);
  }
}

/**
 * Turns what the code prints into log lines of whatever invocation is current: the console by its level, stdout as
 * `info`, stderr as `warn`. Programs it starts write past this, into the pipes that the host reads.
 */
export function captureOutput(write: (level: LogLevel, message: string) => void): void {
  for (const level of ["debug", "info", "warn", "error"] as const) {
    console[level] = (...args: unknown[]) => write(level, format(...args));
  }
  console.log = console.info;
  captureStream(process.stdout, (line) => write("info", line));
  captureStream(process.stderr, (line) => write("warn", line));
}

function captureStream(stream: NodeJS.WriteStream, onLine: (line: string) => void): void {
  const lines = new LineSplitter(onLine);
  const write = (chunk: string | Uint8Array, encoding?: unknown, callback?: unknown): boolean => {
    lines.write(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8"));
    const done = typeof encoding === "function" ? encoding : callback;
    if (typeof done === "function") queueMicrotask(() => done());
    return true;
  };
  stream.write = write as typeof stream.write;
}

/** Cuts a stream of text into lines; a line that never ends is handed on in pieces. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  #rest = "";

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  write(text: string): void {
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop()!;
    for (const line of lines) this.#onLine(line);
    if (this.#rest.length > LONGEST_LINE) this.end();
  }

  /** The last line may have no end. */
  end(): void {
    if (this.#rest !== "") this.#onLine(this.#rest);
    this.#rest = "";
  }
}
