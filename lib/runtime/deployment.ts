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

/** The links of a handler: every linked part's port, by the link's name. */
export async function connect<World extends PortWorld>(
  ports: Deployment["ports"],
  links: Readonly<Record<string, LinkAddress>>,
  world: World,
): Promise<Readonly<Record<string, object>>> {
  const entries = Object.entries(links).map(async ([name, address]) => {
    const load = ports[name];
    if (!load) throw new Error(`link ${name}: the bundle has no port for ${address.kind} "${address.part}"`);
    const { port } = await load();
    return [name, await port(address, world as never)] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/**
 * A field of a link's address.
 *
 * @throws an error that names link and field if it is missing.
 */
export function field(address: LinkAddress, name: string): string {
  const value = address[name];
  if (value !== undefined) return value;
  throw new Error(`the address of ${address.kind} "${address.part}" has no ${name}: deploy the function again`);
}
