import { type ErrorRecord, MillraceError, toErrorRecord } from "./errors.ts";
import type { Context, Handler } from "./handler.ts";
import type { FunctionInvoker } from "./ports.ts";

/** What a bundle starts: the handler, the user's modules by name, and the plain settings baked in. */
export interface Definition {
  readonly handler: Handler<never, never, never, unknown, never>;
  readonly code: Readonly<Record<string, unknown>>;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Everything of a context that the bundle does not hold itself. */
export type World = Omit<Context, "code" | "settings">;

/** How a batch went. An event is in `failures`, or its result counts. */
export interface Served {
  /** The results as JSON texts, in the events' order; undefined where the event failed. */
  readonly results: readonly (string | undefined)[];
  readonly failures: readonly Failure[];
}

export interface Failure {
  /** The event's id. */
  readonly id: string;
  readonly error: ErrorRecord;
}

/**
 * Runs the handler on each event, in order. One that fails fails alone: whoever delivered the batch delivers
 * only that one again. Once the signal has aborted, the rest is not begun and fails with the signal's reason.
 */
export async function serve<Event extends { readonly id: string }>(
  { handler, code, settings }: Definition,
  events: readonly Event[],
  contextOf: (event: Event) => World,
): Promise<Served> {
  const run = handler as unknown as Handler<Event>;
  const results: (string | undefined)[] = [];
  const failures: Failure[] = [];
  for (const event of events) {
    try {
      const world = contextOf(event);
      world.signal.throwIfAborted();
      const { links, programs } = apart(world.links as Readonly<Record<string, object>>);
      results.push(toJson(await run(event, { ...world, links, code: { ...code, ...programs }, settings })));
    } catch (error) {
      results.push(undefined);
      failures.push({ id: event.id, error: toErrorRecord(error) });
    }
  }
  return { results, failures };
}

/** A link so named is a program of the handler's `code`. */
const PROGRAM = "$code.";

/** What a handler is linked to, and the programs it calls. */
function apart(links: Readonly<Record<string, object>> = {}) {
  const isProgram = ([name]: readonly [string, object]) => name.startsWith(PROGRAM);
  const entries = Object.entries(links);
  const programs = entries.filter(isProgram).map(([name, port]) => {
    const { invoke } = port as FunctionInvoker;
    return [name.slice(PROGRAM.length), (payload: unknown) => invoke.call(port, payload)] as const;
  });
  return {
    links: Object.fromEntries(entries.filter((entry) => !isProgram(entry))),
    programs: Object.fromEntries(programs),
  };
}

/**
 * A handler's result as JSON; nothing is `null`.
 *
 * @throws `failed` if it holds what JSON would drop or turn into something else without a word.
 */
export function toJson(result: unknown): string {
  try {
    return JSON.stringify(result ?? null, refuseForeign);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MillraceError("failed", `the handler's result must be plain JSON: ${reason}`, { cause: error });
  }
}

/** `this[key]` and not the value: that one has been through `toJSON` already, a Buffer's bytes as numbers. */
function refuseForeign(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const foreign = foreignKind(this[key]);
  if (foreign === undefined) return value;
  throw new TypeError(key === "" ? `it is ${foreign}` : `"${key}" is ${foreign}`);
}

function foreignKind(value: unknown): string | undefined {
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  if (typeof value === "bigint") return `a bigint (${value}n)`;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return "bytes; put them into a bucket";
  if (value instanceof Map || value instanceof Set) return `a ${value.constructor.name}`;
  if (value instanceof Promise) return "a promise; await it";
  return undefined;
}
