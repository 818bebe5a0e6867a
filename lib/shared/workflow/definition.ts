/**
 * What a workflow does, as plain JSON: blocks of steps, one after the other. Every cloud compiles it to its own
 * workflow language; the local cloud runs it as it is. Durations are seconds.
 */
export interface Block {
  readonly steps: readonly Step[];
  /** What the block comes to; nothing is read of it where it ends in `succeed` or `fail`. */
  readonly output: Mapping;
}

/** Plain JSON in which a {@link Reference} may stand anywhere. No other object has a field that begins with `$`. */
export type Mapping =
  | string
  | number
  | boolean
  | null
  | Reference
  | readonly Mapping[]
  | { readonly [field: string]: Mapping };

/** Something the run knows, by where it comes from and the fields that lead to it. */
export interface Reference {
  readonly $: Origin;
  /** Absent: the whole. */
  readonly at?: readonly string[];
}

/**
 * `input` and `run` (the run's id) are known everywhere; `step:<name>` is the output of a step before this one, here or
 * in a block around; `item:<map>` the map's item; `state:<repeat>` what the last round came to; `error:<step>` what a
 * step failed with, in its `catch`, as `{ kind, message }`.
 */
export type Origin = "input" | "run" | `${"step" | "item" | "state" | "error"}:${string}`;

export type Step =
  | FunctionStep
  | TaskStep
  | ParallelStep
  | MapStep
  | ChoiceStep
  | RepeatStep
  | WaitStep
  | CallbackStep
  | SucceedStep
  | FailStep;
export type StepType = Step["type"];

interface StepBase<Type extends string> {
  readonly type: Type;
  /** Unique in the workflow: letters, digits, `-` and `_`, a letter first, at most 64. */
  readonly name: string;
}

/** What is done again when it fails, and what is done when that does not help. */
export interface Tries {
  /** The first included. What no retry can help, by its kind, is not tried again. */
  readonly attempts: number;
  /** Before the next attempt: exponential from `first` to at most `longest` seconds, with jitter where the cloud has it. */
  readonly backoff: { readonly first: number; readonly factor: number; readonly longest: number };
  /** Longest time of one attempt; absent: that of the function or task, and no bound elsewhere. */
  readonly timeout?: number;
  /** Absent: a failure of the step is one of the block. */
  readonly catch?: Catch;
}

/** Its block's output takes the place of the step's. */
export interface Catch {
  /** Of errors, such as `bad-input`; absent: every kind. */
  readonly kinds?: readonly string[];
  readonly block: Block;
}

/** Calls a function; its result is the step's output. */
export interface FunctionStep extends StepBase<"function">, Tries {
  /** The part. */
  readonly function: string;
  readonly input: Mapping;
}

/** Submits a run of a task and waits for its end; the run's result is the step's output. */
export interface TaskStep extends StepBase<"task">, Tries {
  /** The part. */
  readonly task: string;
  /** The run's id. Attempts of the step after the first retry this run. */
  readonly id: Mapping;
  readonly input: Mapping;
}

/** Does its branches at once; their outputs by their names. */
export interface ParallelStep extends StepBase<"parallel">, Tries {
  readonly branches: Readonly<Record<string, Block>>;
}

/** Does a block for every item of a list, many at once; the blocks' outputs in the items' order. */
export interface MapStep extends StepBase<"map">, Tries {
  /** A list of objects. */
  readonly items: Reference;
  readonly item: Block;
  /** Items at once; absent: as many as the cloud gives. */
  readonly concurrency?: number;
  /** A longer list is refused when the run comes to it; clouds choose by it how they do the map. */
  readonly atMost: number;
  /** Items that may fail, each with `null` as its output. */
  readonly tolerated: number;
  /** False: the output is `{ succeeded, failed }`, as numbers, in place of the list. */
  readonly collects: boolean;
}

/** Does the first block whose condition holds. All blocks' outputs have one shape. */
export interface ChoiceStep extends StepBase<"choice"> {
  readonly options: readonly { readonly if: Condition; readonly block: Block }[];
  readonly otherwise: Block;
}

/** Does a block until a condition on what it came to holds. The output is that of the last round. */
export interface RepeatStep extends StepBase<"repeat">, Tries {
  /** What `state:<name>` is in the first round. */
  readonly from: Mapping;
  readonly block: Block;
  /** Reads `state:<name>`, by then the output of the round. */
  readonly until: Condition;
  /** Rounds; when the condition does not hold after them, the step fails (`timed-out`). */
  readonly atMost: number;
  /** Between two rounds. */
  readonly every: number;
}

/** Waits. The output is nothing. */
export interface WaitStep extends StepBase<"wait"> {
  /** Seconds, 0 or more, whole. */
  readonly seconds: number | Reference;
}

/** Asks somebody outside, and waits for the answer, which is the step's output. */
export interface CallbackStep extends StepBase<"callback">, Tries {
  /** Who is asked: gets `{ "callback": "…", "input": … }`. What is answered names the callback. */
  readonly ask: { readonly kind: "queue" | "function"; readonly name: string };
  readonly input: Mapping;
}

/** Ends the run. */
export interface SucceedStep extends StepBase<"succeed"> {
  readonly output: Mapping;
}

/** Fails the run, or the step around that has a `catch`. */
export interface FailStep extends StepBase<"fail"> {
  /** Of the error: `failed`, `bad-input`… */
  readonly kind: string;
  readonly message: string | Reference;
}

/** `right` is compared as it is; numbers only by size. */
export type Condition =
  | { readonly op: "equals"; readonly left: Reference; readonly right: string | number | boolean }
  | { readonly op: "above" | "below"; readonly left: Reference; readonly right: number }
  | { readonly op: "not"; readonly of: Condition }
  | { readonly op: "and" | "or"; readonly of: readonly Condition[] };

/** Whether a mapping is a reference. */
export const isReference = (value: unknown): value is Reference =>
  typeof value === "object" && value !== null && "$" in value;

/** The blocks inside a step, by where they stand in it. */
export function blocksOf(step: Step): readonly (readonly [path: string, block: Block])[] {
  const own = ((): readonly (readonly [string, Block])[] => {
    switch (step.type) {
      case "parallel":
        return Object.entries(step.branches).map(([name, block]) => [`branches.${name}`, block] as const);
      case "map":
        return [["item", step.item]];
      case "repeat":
        return [["block", step.block]];
      case "choice":
        return [
          ...step.options.map(({ block }, index) => [`options[${index}].block`, block] as const),
          ["otherwise", step.otherwise] as const,
        ];
      default:
        return [];
    }
  })();
  return "catch" in step && step.catch ? [...own, ["catch.block", step.catch.block]] : own;
}

/** Every step of a block, those inside others too, in the order they stand. */
export const stepsOf = ({ steps }: Block): readonly Step[] =>
  steps.flatMap((step) => [step, ...blocksOf(step).flatMap(([, block]) => stepsOf(block))]);
