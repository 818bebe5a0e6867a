import type { ErrorKind } from "../runtime/errors.ts";
import { type Duration, toSeconds } from "../shared/duration.ts";
import type {
  Block,
  Catch,
  Condition,
  Mapping,
  Origin,
  Reference,
  Step,
  Tries,
} from "../shared/workflow/definition.ts";
import { DEFAULTS } from "./defaults.ts";
import type { Backoff } from "./machine.ts";
import type { FunctionPart, Queue, TaskPart } from "./part.ts";

declare const value: unique symbol;
const REFERENCE = Symbol.for("millrace.reference");

type Scalar = string | number | boolean | bigint | null | undefined;

/**
 * Something a run will know, as if it were there: its fields lead on (`input.object`), and it stands wherever a step
 * takes its input. It is no value: nothing can be computed from it here.
 */
export type Ref<T> = { readonly [REFERENCE]: Reference; readonly [value]?: T } & (T extends Scalar | readonly unknown[]
  ? unknown
  : { readonly [Name in keyof T & string]-?: Ref<T[Name]> });

/** A value, or what will be one: plain JSON in which a {@link Ref} may stand anywhere. */
export type Given<T> =
  | Ref<T>
  | (T extends Scalar
      ? T
      : T extends readonly (infer Item)[]
        ? readonly Given<Item>[]
        : { readonly [Name in keyof T]: Given<T[Name]> });

/** What is done when a step fails. */
export interface StepOptions<Output = unknown> {
  /** Tries, the first included; an error that no retry can help is not tried again. @default 3 */
  readonly attempts?: number;
  readonly backoff?: Backoff;
  /** Longest time of one attempt. @default that of the function or task; none elsewhere */
  readonly timeout?: Duration;
  /**
   * Steps that are done when the attempts are used up; what they come to takes the place of the step's output.
   *
   * @default the failure is the block's
   */
  readonly catch?: (flow: Flow, error: Ref<{ readonly kind: ErrorKind; readonly message: string }>) => Given<Output>;
  /** Of errors that `catch` is for. @default all */
  readonly catches?: readonly ErrorKind[];
}

/** What a list of items may be. */
export interface MapBounds {
  /** A longer list fails the step. @default 40 */
  readonly atMost?: number;
  /** Items at once. @default as many as the cloud gives */
  readonly concurrency?: number;
  /** Items that may fail; their outputs are `null`. @default 0 */
  readonly tolerated?: number;
}

export type MapOptions<Output> = MapBounds & StepOptions<readonly Output[]>;

/** How the items of a list went. */
export interface Counts {
  readonly succeeded: number;
  readonly failed: number;
}

export interface RepeatOptions<State> extends StepOptions<State> {
  /** What the first round is given. */
  readonly from: Given<State>;
  readonly until: (state: Ref<State>) => Condition;
  /** Rounds; when the condition does not hold after them the step fails (`timed-out`). */
  readonly atMost: number;
  /** Between two rounds. @default nothing */
  readonly every?: Duration;
}

/** The steps of a workflow, or of a block in one, as they are written down: each is done when the one before it is over. */
export class Flow {
  /** The run's id. */
  readonly run: Ref<string> = reference("run");
  readonly #steps: Step[] = [];

  /** Calls a function. The output is its result. */
  function<Payload, Result>(
    name: string,
    part: FunctionPart<Payload, Result>,
    input: Given<Payload>,
    options: StepOptions<Result> = {},
  ): Ref<Result> {
    return this.#add({ type: "function", name, function: part.name, input: toMapping(input), ...tries(name, options) });
  }

  /**
   * Submits a run of a task and waits for its end. The output is the run's result.
   *
   * @param id of the run: known already, it is not started again
   */
  task<Result = unknown>(
    name: string,
    part: TaskPart,
    { id, input }: { readonly id: Given<string>; readonly input: Given<unknown> },
    options: StepOptions<Result> = {},
  ): Ref<Result> {
    return this.#add({
      type: "task",
      name,
      task: part.name,
      id: toMapping(id),
      input: toMapping(input),
      ...tries(name, options),
    });
  }

  /** Does several things at once. The output has theirs by their names. */
  parallel<Outputs extends Readonly<Record<string, unknown>>>(
    name: string,
    branches: { readonly [Name in keyof Outputs]: (flow: Flow) => Given<Outputs[Name]> | void },
    options: StepOptions<Outputs> = {},
  ): Ref<Outputs> {
    const blocks = Object.entries<(flow: Flow) => unknown>(branches).map(([branch, steps]) => [branch, block(steps)]);
    return this.#add({ type: "parallel", name, branches: Object.fromEntries(blocks), ...tries(name, options) });
  }

  /** Does steps for every item of a list of objects, many at once. The outputs are in the items' order. */
  map<Item, Output>(
    name: string,
    items: Ref<readonly Item[]>,
    each: (flow: Flow, item: Ref<Item>) => Given<Output>,
    options: MapOptions<Output> = {},
  ): Ref<readonly Output[]> {
    return this.#add(mapStep(name, items, each, options, true));
  }

  /** As {@link map}, for lists whose outputs together are too large to carry: it says how many went well. */
  forEach<Item>(
    name: string,
    items: Ref<readonly Item[]>,
    each: (flow: Flow, item: Ref<Item>) => Given<unknown> | void,
    options: MapBounds & StepOptions<Counts> = {},
  ): Ref<Counts> {
    return this.#add(mapStep(name, items, each, options, false));
  }

  /** Does the steps of the first condition that holds. All of them come to one shape; name it if it is not found. */
  choice<Output>(
    name: string,
    options: readonly { readonly if: Condition; readonly do: (flow: Flow) => Given<Output> | void }[],
    otherwise: (flow: Flow) => Given<Output> | void = () => {},
  ): Ref<Output> {
    return this.#add({
      type: "choice",
      name,
      options: options.map((option) => ({ if: option.if, block: block(option.do) })),
      otherwise: block(otherwise),
    });
  }

  /** Does steps again and again, each round on what the last one came to. */
  repeat<State>(
    name: string,
    { from, until, atMost, every = "0 seconds", ...options }: RepeatOptions<State>,
    round: (flow: Flow, state: Ref<State>) => Given<State>,
  ): Ref<State> {
    const state = reference<State>(`state:${name}`);
    return this.#add({
      type: "repeat",
      name,
      from: toMapping(from),
      block: block((flow) => round(flow, state)),
      until: until(state),
      atMost,
      every: toSeconds(every),
      ...tries(name, { attempts: 1, ...options }),
    });
  }

  /** Waits that long; a number from the run is seconds. */
  wait(name: string, time: Duration | Ref<number>): void {
    this.#add({ type: "wait", name, seconds: isRef(time) ? time[REFERENCE] : toSeconds(time) });
  }

  /**
   * Asks a queue or a function, which gets `{ "callback": "…", "input": … }`, and waits until somebody answers the
   * callback: a client, the command line, or a function by `answer`.
   */
  callback<Output = unknown>(
    name: string,
    asked: Queue | FunctionPart,
    input: Given<unknown>,
    options: StepOptions<Output> = {},
  ): Ref<Output> {
    const ask = { kind: asked.kind, name: asked.name };
    return this.#add({
      type: "callback",
      name,
      ask,
      input: toMapping(input),
      ...tries(name, { attempts: 1, ...options }),
    });
  }

  /** Ends the run with this output; the last step of its block. */
  succeed(name: string, output: Given<unknown> = {}): Ref<never> {
    return this.#add<never>({ type: "succeed", name, output: toMapping(output) });
  }

  /** Fails the block: the run, or the step around that has a `catch`. The last step of its block. */
  fail(name: string, kind: ErrorKind, message: Given<string>): Ref<never> {
    return this.#add<never>({
      type: "fail",
      name,
      kind,
      message: isRef(message) ? message[REFERENCE] : (message as string),
    });
  }

  /** @internal what was written down */
  get steps(): readonly Step[] {
    return this.#steps;
  }

  #add<Output>(step: Step): Ref<Output> {
    this.#steps.push(step);
    return reference(`step:${step.name}`);
  }
}

/** Holds when the two are the same. */
export const is = <T extends string | number | boolean>(left: Ref<T>, right: T): Condition => ({
  op: "equals",
  left: left[REFERENCE],
  right,
});
/** Holds when a number is greater. */
export const isAbove = (left: Ref<number>, right: number): Condition => ({ op: "above", left: left[REFERENCE], right });
/** Holds when a number is less. */
export const isBelow = (left: Ref<number>, right: number): Condition => ({ op: "below", left: left[REFERENCE], right });
/** Holds when the other does not. */
export const not = (of: Condition): Condition => ({ op: "not", of });
/** Holds when all of them do. */
export const both = (...of: readonly Condition[]): Condition => ({ op: "and", of });
/** Holds when one of them does. */
export const either = (...of: readonly Condition[]): Condition => ({ op: "or", of });

/** What somebody writes down, as a block. */
export function block(write: (flow: Flow) => unknown): Block {
  const flow = new Flow();
  const output = write(flow);
  return { steps: flow.steps, output: toMapping(output ?? {}) };
}

/** A reference that every field leads on from. */
export function reference<T>($: Origin, at: readonly string[] = []): Ref<T> {
  const plan: Reference = { $, ...(at.length > 0 && { at }) };
  return new Proxy({ [REFERENCE]: plan } as object, {
    get: (target, name) => (typeof name === "string" ? reference($, [...at, name]) : Reflect.get(target, name)),
  }) as Ref<T>;
}

const isRef = (given: unknown): given is Ref<unknown> =>
  typeof given === "object" && given !== null && REFERENCE in given;

function toMapping(given: unknown): Mapping {
  if (isRef(given)) return given[REFERENCE];
  if (Array.isArray(given)) return given.map(toMapping);
  if (typeof given === "object" && given !== null) {
    const { name } = (Object.getPrototypeOf(given) as { constructor?: { name: string } } | null)?.constructor ?? {};
    if (name !== undefined && name !== "Object") throw new Error(`a step takes plain JSON, got a ${name}`);
    if ("$" in given) throw new Error('a step takes no field "$": workflow services take it for something else');
    const fields = Object.entries(given).filter(([, value]) => value !== undefined);
    return Object.fromEntries(fields.map(([name, value]) => [name, toMapping(value)]));
  }
  if (typeof given === "number" && !Number.isFinite(given)) throw new Error(`a step takes plain JSON, got ${given}`);
  if (typeof given === "string" || typeof given === "number" || typeof given === "boolean" || given === null)
    return given;
  throw new Error(`a step takes plain JSON, got ${given === undefined ? "nothing" : `a ${typeof given}`}`);
}

function tries<Output>(name: string, options: StepOptions<Output>): Tries {
  const { attempts = DEFAULTS.attempts, backoff = {}, timeout } = options;
  const { first, factor = DEFAULTS.backoff.factor, longest } = backoff;
  return {
    attempts,
    backoff: {
      first: first === undefined ? DEFAULTS.backoff.first : toSeconds(first),
      factor,
      longest: longest === undefined ? DEFAULTS.backoff.longest : toSeconds(longest),
    },
    ...(timeout !== undefined && { timeout: toSeconds(timeout) }),
    ...(options.catch && { catch: caught(name, options.catch, options.catches) }),
  };
}

function caught<Output>(
  name: string,
  steps: NonNullable<StepOptions<Output>["catch"]>,
  kinds: readonly ErrorKind[] | undefined,
): Catch {
  return { ...(kinds && { kinds }), block: block((flow) => steps(flow, reference(`error:${name}`))) };
}

function mapStep<Item, Output>(
  name: string,
  items: Ref<readonly Item[]>,
  each: (flow: Flow, item: Ref<Item>) => unknown,
  { atMost = 40, concurrency, tolerated = 0, ...options }: MapBounds & StepOptions<Output>,
  collects: boolean,
): Step {
  return {
    type: "map",
    name,
    items: items[REFERENCE],
    item: block((flow) => each(flow, reference(`item:${name}`))),
    ...(concurrency !== undefined && { concurrency }),
    ...{ atMost, tolerated, collects },
    // Its items' steps are tried again; the whole list is not.
    ...tries(name, { attempts: 1, ...options }),
  };
}
