import type { SystemClient } from "../client/system.ts";
import type { DevOptions, DevSession } from "../clouds/local/host/inspect.ts";
import type { CommonOptions } from "./options.ts";
import type { Terminal } from "./terminal.ts";

/** What every verb works with. */
export interface Cli {
  readonly terminal: Terminal;
  /** Aborts at the first Ctrl-C. */
  readonly signal: AbortSignal;
  readonly startDev: StartDev;
  /** The system that a command line means: the local cloud in a folder, or a deployed stack. */
  connect(options: Pick<CommonOptions, "folder" | "stack">): Promise<SystemClient>;
  /** Makes an action of a verb: its answer, if any, is the process's exit code. */
  action<Args extends unknown[]>(work: (...args: Args) => Promise<number | void>): (...args: Args) => Promise<void>;
}

export type StartDev = (options: DevOptions) => Promise<DevSession>;

/** One JSON document, on one line where it is piped. */
export const printJson = (terminal: Terminal, value: unknown): void =>
  terminal.print(terminal.isLive ? JSON.stringify(value, null, 2) : JSON.stringify(value));
