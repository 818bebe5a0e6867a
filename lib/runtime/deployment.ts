import { isKeysLink } from "../shared/environment.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./handler.ts";
import type { SecretReader } from "./ports.ts";
import type { Definition } from "./serve.ts";

/** The parts a function can be linked to. */
export type LinkKind = "bucket" | "queue" | "table" | "secret" | "volume" | "function" | "task" | "workflow" | "stream";

/**
 * Where a linked part lies: which one it is, and what its cloud's port needs to reach it. Texts, as an environment is.
 * `keys` is the link to the secret with the keys to it, where they are used in place of the function's role.
 */
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
  /**
   * The world of a port that is reached by keys, from wherever it is.
   *
   * @param secret the text of the secret that holds them
   * @param part the secret's name
   * @throws `bad-input` if no keys are in it; nothing of the text is in the error
   * @default it is reached from its own cloud alone
   */
  worldBy?(secret: string, world: PortWorld, part: string): World;
}

/** What a deployed bundle starts: the definition, and by link how to load the module that speaks with its part. */
export interface Deployment extends Definition {
  readonly ports: Readonly<Record<string, () => Promise<PortModule<never>>>>;
}

/**
 * The links of a handler: every linked part's port, by the link's name. Keys are read from their secrets first, each
 * once; the secrets themselves are no links of the handler's.
 */
export async function connect<World extends PortWorld>(
  ports: Deployment["ports"],
  links: Readonly<Record<string, LinkAddress>>,
  world: World,
): Promise<Readonly<Record<string, object>>> {
  const all = Object.entries(links);
  const secrets = all.filter(([name]) => isKeysLink(name));
  const keys = new Map(secrets.map(([name, address]) => [name, keysIn(ports, name, address, world)] as const));
  const entries = all
    .filter(([name]) => !isKeysLink(name))
    .map(async ([name, address]) => {
      const module = await load(ports, name, address);
      const given = address.keys === undefined ? undefined : await keys.get(address.keys);
      const around = address.keys === undefined ? world : worldBy(module, name, given, world);
      return [name, await module.port(address, around as never)] as const;
    });
  // A secret that cannot be read fails the links that need it, which may not have come so far as to hear of it.
  void Promise.allSettled(keys.values());
  return Object.fromEntries(await Promise.all(entries));
}

function load(ports: Deployment["ports"], name: string, { kind, part }: LinkAddress): Promise<PortModule<never>> {
  const found = ports[name];
  if (!found) throw new Error(`link ${name}: the bundle has no port for ${kind} "${part}"`);
  return found();
}

/** A secret as it was read. */
interface Keys {
  readonly secret: string;
  readonly part: string;
}

async function keysIn<World extends PortWorld>(
  ports: Deployment["ports"],
  name: string,
  address: LinkAddress,
  world: World,
): Promise<Keys> {
  const { port } = await load(ports, name, address);
  const secret = (await port(address, world as never)) as SecretReader;
  return { secret: await secret.value(), part: address.part };
}

/** Where the function runs means nothing to another cloud: of its world a port gets what every port gets. */
function worldBy(
  module: PortModule<never>,
  name: string,
  keys: Keys | undefined,
  { signal, clock, log, files }: PortWorld,
): PortWorld {
  if (keys && module.worldBy) return module.worldBy(keys.secret, { signal, clock, log, files }, keys.part);
  throw new Error(`link ${name}: ${keys ? "its port takes no keys" : "the secret with its keys is not linked"}`);
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
