import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import type { Duration } from "../shared/duration.ts";
import { MACHINE_OPTIONS, type Machine, machinePlan } from "./machine.ts";
import type { PartNames } from "./part.ts";
import type { FunctionPlan, ProgramPlan } from "./plan.ts";
import type { Units } from "./units.ts";

declare const call: unique symbol;

/** A function of a handler's `code` that is called with plain JSON and answers plain JSON. */
export type Called = (payload: never) => Promise<unknown>;

/** A program beside the handler: it gets payloads, and no links. */
export interface Program<Call = unknown> extends Machine {
  readonly program: ProgramPlan;
  readonly timeout?: Duration;
  readonly concurrency?: number;
  readonly [call]?: Call;
}

/** Settings of {@link image} and {@link python}. */
export interface ProgramOptions extends Machine {
  /** Longest time of one call. @default "1 minute" */
  readonly timeout?: Duration;
  /** Calls at once, where the cloud counts them. @default as many as the cloud gives */
  readonly concurrency?: number;
}

/** Settings of {@link image}. */
export interface ImageOptions extends ProgramOptions {
  /** What the container runs in place of the image's CMD; its ENTRYPOINT stays. @default the image's own */
  readonly command?: readonly string[];
  /** Where it listens for HTTP. @default 9000 */
  readonly port?: number;
  /** A graphics processor, where the platform has it. @default none */
  readonly gpu?: { readonly type: string; readonly memory: number };
  /** What stands for the container on this computer: a command that listens at `$PORT`. @default it cannot run there */
  readonly local?: readonly string[];
}

/**
 * A container that a handler calls as `context.code.<name>(payload)`: it takes the payload as JSON by
 * `POST /invoke` and answers JSON; any status but 200 is a failure, told by the answer's text. That is what
 * Function Compute asks of custom containers; there a failure has the header `x-fc-status: 404` besides. A container may
 * run as a user without rights whose only writable folder is `/tmp`.
 *
 * @param reference with its digest, so that every run has the same one; another one is refused
 * @example
 * const reference = `registry.example.com/score@sha256:${"0".repeat(64)}`;
 * const score = image<(text: string) => Promise<number>>(reference, { memory: "4 GB" });
 * // new AsyncTask("scores", { cloud, handler, code: { score } });
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/custom-container-event-functions
 */
export function image<Call extends Called>(reference: string, options: ImageOptions = {}): Program<Call> {
  if (!/^[\w][\w.:/-]*@sha256:[0-9a-f]{64}$/.test(reference)) {
    throw new Error(`image: a reference with its digest is wanted, such as registry/name@sha256:…, got "${reference}"`);
  }
  const { command = [], port = 9000, gpu, local, ...machine } = options;
  return { program: { image: { reference, command, port, ...(gpu && { gpu }), ...(local && { local }) } }, ...machine };
}

/**
 * A function of a Python module that a handler calls as `context.code.<name>(payload)`, with the third-party
 * libraries of the folder's `requirements.txt`.
 *
 * @param folder a URL or an absolute path
 * @param entry `module:function`; the function takes the payload and returns what JSON can hold
 * @example
 * const clean = python<(rows: string[]) => Promise<string[]>>(new URL("./operators/", import.meta.url), "clean:rows");
 * // new AsyncTask("cleaning", { cloud, handler, code: { clean } });
 */
export function python<Call extends Called>(
  folder: URL | string,
  entry: string,
  options: ProgramOptions = {},
): Program<Call> {
  const path = folder instanceof URL || folder.startsWith("file:") ? fileURLToPath(folder) : folder;
  if (!isAbsolute(path)) throw new Error(`python: a folder is given by URL or absolute path, got "${path}"`);
  if (!/^[A-Za-z_][\w.]*:[A-Za-z_]\w*$/.test(entry))
    throw new Error(`python: the entry is written "module:function", got "${entry}"`);
  return { program: { python: { folder: path.replace(/\/$/, ""), entry } }, ...options };
}

export const isProgram = (value: object): value is Program => "program" in value;

/** The link of a handler to a program of its `code`. */
export const programLink = (name: string): string => `$code.${name}`;

const OPTIONS = { program: true, timeout: true, concurrency: true, ...MACHINE_OPTIONS } as const;

/**
 * The function that a program is: `programs/process` starts it on this computer; a cloud that runs images or Python
 * itself, or beside the caller, does that instead.
 */
export function programPlan(names: PartNames, given: Program, units: Units): FunctionPlan {
  const { program, concurrency } = given;
  units.options(given, OPTIONS);
  return {
    kind: "function",
    ...names,
    handler: { id: "programs/process" },
    program,
    code: {},
    links: {},
    settings: { program },
    sources: [],
    ...machinePlan(given, units),
    // Who calls decides whether it is tried again.
    attempts: 1,
    tools: [],
    install: [],
    ...(concurrency !== undefined && { concurrency }),
    environment: {},
  };
}
