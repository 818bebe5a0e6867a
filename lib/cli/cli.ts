import { connectLocal, type LocalClient } from "../clouds/local/client.ts";
import type { DevOptions, DevSession } from "../clouds/local/host/inspect.ts";
import type { Terminal } from "./terminal.ts";

/** What every verb works with. */
export interface Cli {
  readonly terminal: Terminal;
  /** Aborts at the first Ctrl-C. */
  readonly signal: AbortSignal;
  readonly startDev: StartDev;
  /** Makes an action of a verb: its answer, if any, is the process's exit code. */
  action<Args extends unknown[]>(work: (...args: Args) => Promise<number | void>): (...args: Args) => Promise<void>;
}

export type StartDev = (options: DevOptions) => Promise<DevSession>;

/** A client of the local cloud in that folder. */
export const connectTo = ({ folder }: { readonly folder: string }): LocalClient => connectLocal({ folder });

/** One JSON document, on one line where it is piped. */
export const printJson = (terminal: Terminal, value: unknown): void =>
  terminal.print(terminal.isLive ? JSON.stringify(value, null, 2) : JSON.stringify(value));
