import type { Clock } from "./clock.ts";
import type { Log } from "./handler.ts";
import type { Definition } from "./serve.ts";

/** The parts a function can be linked to. */
export type LinkKind = "bucket" | "queue" | "table" | "secret" | "volume" | "function" | "task";

/** Where a linked part lies: which one it is, and what its cloud's port needs to reach it. Texts, as an environment is. */
export interface LinkAddress {
  readonly kind: LinkKind;
  /** The part's logical name. */
  readonly part: string;
  readonly [field: string]: string;
}

/** What every port is given, whatever cloud it speaks with. */
export interface PortWorld {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly log: Log;
  /** A folder for what ports put on disk; it goes with the invocation. */
  readonly files: string;
}

/** A module that speaks with one kind of part of one cloud. `World` adds what that cloud's ports need: its credentials. */
export interface PortModule<World extends PortWorld = PortWorld> {
  port(address: LinkAddress, world: World): object | Promise<object>;
}

/** What a deployed bundle starts: the definition, and by link how to load the module that speaks with its part. */
export interface Deployment extends Definition {
  readonly ports: Readonly<Record<string, () => Promise<PortModule<never>>>>;
}
