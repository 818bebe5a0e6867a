import { type ErrorRecord, fromErrorRecord, toErrorRecord } from "../../../runtime/errors.ts";
import type { SourceEvent } from "../../../runtime/events.ts";
import type { LogFields, LogLevel } from "../../../runtime/handler.ts";
import type { Failure } from "../../../runtime/serve.ts";

/** A part a handler is linked to: how its port is built. Permissions are checked by the host, not by this. */
export interface LinkAddress {
  readonly name: string;
  /** The part's logical name. */
  readonly part: string;
  readonly kind: "bucket" | "queue" | "table" | "secret" | "volume" | "function" | "task" | "workflow" | "stream";
  /** A volume's folder. */
  readonly path?: string;
}

/** Sent once, before the first invocation. */
export interface Setup {
  readonly type: "setup";
  readonly links: readonly LinkAddress[];
  readonly tools: Readonly<Record<string, string>>;
  /** Whether time is the host's to steer; then `now` comes with the messages and timers go through the host. */
  readonly virtual: boolean;
}

/** A process has one invocation at a time. */
export interface Invoke {
  readonly type: "invoke";
  readonly invocation: number;
  readonly events: readonly SourceEvent[];
  readonly run: RunIdentity;
  /** Milliseconds since 1970, as is `now`. */
  readonly deadline: number;
  readonly now: number;
  readonly scratch: string;
  /** The longest result, in bytes of JSON. */
  readonly limit?: number;
  readonly settle?: number;
}

export interface RunIdentity {
  readonly id: string;
  readonly task?: string;
  readonly tenant?: string;
  /** 1 at the first try. */
  readonly attempt: number;
}

/** Why an invocation is asked to end. */
export type AbortKind = "stopped" | "timed-out" | "interrupted";

export type ToProcess =
  | Setup
  | Invoke
  | { readonly type: "abort"; readonly invocation: number; readonly error: ErrorRecord; readonly settle?: number }
  | { readonly type: "reply"; readonly call: number; readonly value?: unknown; readonly error?: ErrorRecord }
  | { readonly type: "time"; readonly now: number }
  | { readonly type: "alarm"; readonly alarm: number; readonly now: number; readonly settle: number };

/** What a handler asks of a link. */
export interface Call {
  readonly type: "call";
  readonly call: number;
  readonly invocation: number;
  /** The link's name. */
  readonly link: string;
  readonly method: string;
  readonly args: readonly unknown[];
}

export interface LogLine {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields?: LogFields;
}

export interface Progress {
  /** 0 to 1. */
  readonly fraction: number;
  readonly message?: string;
}

export interface Measurement {
  readonly name: string;
  readonly kind: "count" | "gauge";
  readonly value: number;
}

export interface Done {
  readonly type: "done";
  readonly invocation: number;
  readonly results: readonly (string | undefined)[];
  readonly failures: readonly Failure[];
  /** The handler ended after it had been asked to. */
  readonly aborted?: true;
  readonly measurements?: readonly Measurement[];
}

export type ToHost =
  | { readonly type: "ready" }
  | Call
  | { readonly type: "log"; readonly invocation: number; readonly lines: readonly LogLine[] }
  | { readonly type: "progress"; readonly invocation: number; readonly progress: Progress }
  | Done
  /** The process ends itself after an error nobody caught; without an invocation, it had none. */
  | { readonly type: "crash"; readonly invocation?: number; readonly error: ErrorRecord }
  | { readonly type: "set-alarm"; readonly alarm: number; readonly time: number }
  | { readonly type: "clear-alarm"; readonly alarm: number }
  /** What a message with this number, and those before it, set going now waits for time: virtual time may go on. */
  | { readonly type: "settled"; readonly settle: number }
  /** Nothing goes on in the process any more since that message: only time can wake it. */
  | { readonly type: "resting"; readonly settle: number };

/** The process's end of the wire to the host. */
export class Channel {
  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #calls = 0;

  get isQuiet(): boolean {
    return this.#pending.size === 0;
  }

  /** Never throws for a host that has gone: the end of the channel is told by an event of its own. */
  send(message: ToHost): void {
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  }

  /** Asks the host; rejects with the host's error, or if an argument cannot be sent. */
  call(invocation: number, link: string, method: string, args: readonly unknown[]): Promise<unknown> {
    this.#calls += 1;
    const call = this.#calls;
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
      try {
        this.send({ type: "call", call, invocation, link, method, args });
      } catch (error) {
        this.#pending.delete(call);
        reject(new TypeError(`${link}.${method}: an argument is not plain data: ${toErrorRecord(error).message}`));
      }
    });
  }

  reply({ call, value, error }: Extract<ToProcess, { type: "reply" }>): void {
    const waiting = this.#pending.get(call);
    this.#pending.delete(call);
    if (error) waiting?.reject(fromErrorRecord(error));
    else waiting?.resolve(value);
  }
}
