import type { ErrorKind } from "../../../runtime/errors.ts";
import type {
  CallbackStep,
  Condition,
  Mapping,
  MapStep,
  ParallelStep,
  Reference,
  RepeatStep,
  Step,
  Tries,
} from "../../../shared/workflow/definition.ts";
import { FlowData, fieldOf, type Hoisted, type Place, placeField, referencesIn, toPayload } from "./flow-data.ts";
import { KINDS, LATE, retriesOf } from "./flow-errors.ts";

/** What a workflow's steps speak with, by the parts' names. */
export interface FlowTargets {
  /** Names or ARNs. */
  readonly functions: Readonly<Record<string, string>>;
  /** Seconds that functions may take. */
  readonly timeouts: Readonly<Record<string, number>>;
  /** The functions that submit runs of tasks and look how they went, by the tasks' names. */
  readonly tasks: Readonly<Record<string, string>>;
  /** URLs. */
  readonly queues: Readonly<Record<string, string>>;
  /** The table with what callbacks wait for; needed by those. */
  readonly table: string;
  /** Its partition of this workflow's runs. */
  readonly partition: string;
}

/** A state's data are 256 KiB, answer and all that is around it. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
const ANSWER_BYTES = 192 * 1024;

/** https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
const LABEL = 80;

const LAMBDA = "arn:aws:states:::lambda:invoke";

export type States = Record<string, object>;

/** Where a failure goes that somebody around takes: its record is written to `path`, and `label` is next. */
export interface Handler {
  readonly path: string;
  label(): string;
  /** How a state hands on what it fails with; nothing where that fails what the state is in. */
  catches(): readonly object[];
}

/** What follows: another state, or the end of what the block is in. */
export type Next = { readonly label: string } | "end";

/** What is around a step. */
export interface Around {
  readonly states: States;
  readonly place: Place;
  readonly failure: Handler;
  /** Maps and repeats it is in. */
  readonly numbered: readonly { readonly path: string }[];
  /** What `succeed` does: it ends the run, or what was wrapped around it. */
  readonly scope: "run" | "wrapped" | "branch";
}

/** Where a mapping's fields go. */
export interface Write {
  /** `ResultPath`. */
  readonly path: string;
  /** What stands there, made of the fields. */
  readonly shape: (fields: object) => object;
  /** `OutputPath`: what of the state goes on. @default all */
  readonly only?: string;
}

/** The end of a branch, an item or the run: its output is all that is left. */
export const END: Write = { path: "$.result", shape: (fields) => fields, only: "$.result.output" };

/** What all steps are written with: states by labels that no other has, what fails, what is filled in. */
export class FlowWriter {
  readonly targets: FlowTargets;
  readonly data: FlowData;
  readonly #labels: Set<string>;

  constructor(steps: readonly Step[], targets: FlowTargets) {
    this.targets = targets;
    this.data = new FlowData(steps);
    this.#labels = new Set(steps.map(({ name }) => name));
  }

  /** https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html */
  invoke(name: string | undefined, payload: object) {
    return {
      Type: "Task",
      Resource: LAMBDA,
      Parameters: { FunctionName: name, Payload: payload },
    };
  }

  /** As the function reads it: the input is in there already, or as a mapping with what it refers to. */
  call({ name, attempts }: Step & Tries, { place }: Around, input: object): object {
    return {
      millrace: "step",
      "run.$": "$.run",
      ...Object.fromEntries([placeField("step", [...place, name])]),
      "attempt.$": "States.MathAdd($$.State.RetryCount, 1)",
      attempts,
      most: ANSWER_BYTES,
      ...input,
    };
  }

  /** @param more of what is known: paths, or expressions */
  input(input: Mapping, more: object = {}): object {
    const origins = [...new Set(referencesIn(input).map((reference) => reference.$))];
    if (origins.length === 0) return { input };
    const known = origins
      .filter(($) => !OWN.includes($))
      .map(($) =>
        fieldOf(
          $,
          toPayload({ $ }, (reference) => this.data.path(reference), []),
        ),
      );
    return { mapping: JSON.stringify(input), known: { ...Object.fromEntries(known), ...more } };
  }

  /** Where a branch, an item or the run fails. What its states fail with by themselves does so as it is: that can be redriven. */
  failing(states: States, name: string): Handler {
    const label = this.label(name);
    return {
      path: "$.error",
      label: () => {
        states[label] = { Type: "Fail", ErrorPath: "$.error.kind", CausePath: "$.error.message" };
        return label;
      },
      catches: () => [],
    };
  }

  /** @param names the service's, of what is taken @param others take the rest */
  handler(
    states: States,
    path: string,
    label: string,
    names: readonly string[] = ["States.ALL"],
    others: () => readonly object[] = () => [],
  ): Handler {
    let made: string | undefined;
    return {
      path,
      label: () => label,
      catches: () => {
        made ??= this.#toRecord(states, path, label);
        return [{ ErrorEquals: names, ResultPath: "$.caught", Next: made }, ...others()];
      },
    };
  }

  /**
   * What the service says of an error, as one of ours: those of a `Fail` have our kinds. A function may have thrown one,
   * too: then its cause is JSON.
   *
   * @see https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
   */
  #toRecord(states: States, path: string, label: string): string {
    const name = this.label(`${label}: caught`);
    const record = (what: string, Parameters: object, next = label, ResultPath = path): string => {
      const one = this.label(`${label}: ${what}`);
      states[one] = { Type: "Pass", Parameters, ResultPath, Next: next };
      return one;
    };
    const error = "$.caught.Error";
    const cause = "$.caught.Cause";
    const ours = { Or: Object.keys(KINDS).map((kind) => ({ Variable: error, StringEquals: kind })) };
    const hasCause = { Variable: cause, IsPresent: true };
    const both = `States.Format('{}: {}', ${error}, ${cause})`;
    const late = record("late", { kind: "timed-out", "message.$": error });
    const lateWords = record("late, with words", { kind: "timed-out", "message.$": both });
    const said = record("said", { "kind.$": error, "message.$": "$.thrown.errorMessage" });
    const thrown = record("thrown", { "errorMessage.$": "$.thrown.error.errorMessage" }, said, "$.thrown");
    const parsed = record("parsed", { "error.$": `States.StringToJson(${cause})` }, thrown, "$.thrown");
    const own = record("own", { "kind.$": error, "message.$": cause });
    const words = record("away, with words", { kind: "unavailable", "message.$": both });
    const away = record("away", { kind: "unavailable", "message.$": error });
    const isLate = {
      Or: [
        ...LATE.map((StringEquals) => ({
          Variable: error,
          StringEquals,
        })),
        { And: [hasCause, { Variable: cause, StringMatches: "*Task timed out after*" }] },
      ],
    };
    states[name] = {
      Type: "Choice",
      Choices: [
        { And: [ours, { Variable: cause, StringMatches: '{"errorType":*' }], Next: parsed },
        { ...ours, Next: own },
        { And: [isLate, hasCause, { Not: { Variable: cause, StringEquals: "" } }], Next: lateWords },
        { ...isLate, Next: late },
        { And: [hasCause, { Not: { Variable: cause, StringEquals: "" } }], Next: words },
      ],
      Default: away,
    };
    return name;
  }

  /** A state that fails what is around it. */
  refused({ states, failure }: Around, name: string, kind: ErrorKind, message: string): string {
    return this.pass(states, name, { Result: { kind, message }, ResultPath: failure.path, Next: failure.label() });
  }

  within(name: string, around: Around): Around {
    return { ...around, place: [...around.place, `${name}/`] };
  }

  /** How states with states in them are tried again, and where their failures go. */
  composite(step: ParallelStep | MapStep | RepeatStep | CallbackStep, { failure }: Around) {
    const again = retriesOf(step);
    return {
      ResultPath: this.data.home(step).path,
      ...(again.length > 0 && { Retry: again }),
      ...catching(failure),
    };
  }

  /** What is not there, or of another type, does not fit. */
  rule(condition: Condition): object {
    switch (condition.op) {
      case "not":
        return { Not: this.rule(condition.of) };
      case "and":
        return { And: condition.of.map((part) => this.rule(part)) };
      case "or":
        return { Or: condition.of.map((part) => this.rule(part)) };
      default: {
        const Variable = this.data.path(condition.left);
        if (Variable === undefined) return { Variable: "$.run", IsNull: true };
        const [type, compared] = comparison(condition);
        return {
          And: [
            { Variable, IsPresent: true },
            { Variable, [type]: true },
            { Variable, [compared]: condition.right },
          ],
        };
      }
    }
  }

  /**
   * A state that writes a mapping's fields somewhere. What may not be there is looked for first: a path that leads nowhere
   * fails the run, and here it is to be `null`.
   */
  fill(
    name: string,
    fields: Readonly<Record<string, Mapping>>,
    raw: object,
    around: Around,
    next: Next,
    write: Write,
  ): string {
    const unsure = distinct(referencesIn(Object.values(fields))).filter(
      (reference) => !this.data.isSure(reference) && this.data.path(reference) !== undefined,
    );
    const pathOf = (reference: Reference) => this.data.path(reference);
    if (unsure.length === 0) return this.#filled(name, fields, raw, around, next, write, pathOf);
    const direct = this.#filled(`${name}: filled`, fields, raw, around, next, write, pathOf);
    const refs = new Map(unsure.map((reference, index) => [pathOf(reference)!, `$.refs.r${index}`]));
    const patched = this.#filled(`${name}: patched`, fields, raw, around, next, write, (reference) => {
      const path = pathOf(reference);
      return path === undefined ? undefined : (refs.get(path) ?? path);
    });
    const { states } = around;
    const chain = [...refs].reduceRight((after, [path, ref]) => {
      const copied = this.pass(states, `${name}: copy`, { InputPath: path, ResultPath: ref, Next: after });
      const is = this.label(`${name}: is there`);
      states[is] = { Type: "Choice", Choices: [{ ...isThere(path), Next: copied }], Default: after };
      return is;
    }, patched);
    const missing = this.pass(states, `${name}: missing`, {
      Result: Object.fromEntries(unsure.map((_, index) => [`r${index}`, null])),
      ResultPath: "$.refs",
      Next: chain,
    });
    const label = this.label(name);
    const all = [...refs.keys()].map(isThere);
    states[label] = {
      Type: "Choice",
      Choices: [{ ...(all.length === 1 ? all[0] : { And: all }), Next: direct }],
      Default: missing,
    };
    return label;
  }

  #filled(
    name: string,
    fields: Readonly<Record<string, Mapping>>,
    raw: object,
    { states }: Around,
    next: Next,
    { path, shape, only }: Write,
    pathOf: (reference: Reference) => string | undefined,
  ): string {
    const hoist: Hoisted[] = [];
    const entries = Object.entries(fields).map(([field, mapping]) => fieldOf(field, toPayload(mapping, pathOf, hoist)));
    const last = this.label(name);
    states[last] = {
      Type: "Pass",
      Parameters: shape({ ...Object.fromEntries(entries), ...raw }),
      ResultPath: path,
      ...(only !== undefined && { OutputPath: only }),
      ...(next === "end" ? { End: true } : { Next: next.label }),
    };
    return hoist.reduceRight((after, { path, payload }) => {
      const Parameters = Object.fromEntries([fieldOf("value", payload)]);
      return this.pass(states, `${name}: part`, { Parameters, ResultPath: path, Next: after });
    }, last);
  }

  pass(states: States, name: string, fields: object): string {
    const label = this.label(name);
    states[label] = { Type: "Pass", ...fields };
    return label;
  }

  /** A name that no other state has, of at most 80 characters; those of steps are taken. */
  label(name: string): string {
    let label = name.slice(0, LABEL);
    for (let number = 2; this.#labels.has(label); number += 1) label = `${name.slice(0, LABEL - 5)} ${number}`;
    this.#labels.add(label);
    return label;
  }
}

/** What only a task's function is told: no reference of a user's is called so. */
const OWN: readonly string[] = ["looks", "attempt"];

/** Its path, for whoever reads a run's history: where the numbers of items and rounds lie is in brackets. */
export const placed = (name: string, { place }: Around): object => ({
  Comment: [...place.map((piece) => (typeof piece === "string" ? piece : piece.number.slice("$.".length))), name].join(
    "",
  ),
});

export const catching = (failure: Handler): object => {
  const Catch = failure.catches();
  return Catch.length === 0 ? {} : { Catch };
};

/** A text and a list have a length for some implementations of JSONPath. */
export const isThere = (path: string): object => {
  const is = { Variable: path, IsPresent: true };
  if (!path.endsWith(".length")) return is;
  return { And: [is, { Not: { Variable: `${path.slice(0, -".length".length)}[0]`, IsPresent: true } }] };
};

const comparison = (
  condition: Exclude<Condition, { readonly op: "not" | "and" | "or" }>,
): readonly [string, string] => {
  if (condition.op === "above") return ["IsNumeric", "NumericGreaterThan"];
  if (condition.op === "below") return ["IsNumeric", "NumericLessThan"];
  switch (typeof condition.right) {
    case "string":
      return ["IsString", "StringEquals"];
    case "boolean":
      return ["IsBoolean", "BooleanEquals"];
    default:
      return ["IsNumeric", "NumericEquals"];
  }
};

const distinct = (references: readonly Reference[]): readonly Reference[] => [
  ...new Map(references.map((reference) => [JSON.stringify(reference), reference])).values(),
];

/** The states that are ever come to, in the order they are: what nothing fails with is caught by nobody. */
export function reached(start: string, states: States): States {
  const found = new Map<string, object>();
  const go = (label: string): void => {
    if (found.has(label)) return;
    found.set(label, states[label]!);
    for (const next of transitionsOf(states[label]!)) go(next);
  };
  go(start);
  return Object.fromEntries(found);
}

/** What of a state names others. */
interface Transitions {
  readonly Next?: string;
  readonly Default?: string;
  readonly Choices?: readonly { readonly Next: string }[];
  readonly Catch?: readonly { readonly Next: string }[];
}

const transitionsOf = ({ Next, Default, Choices = [], Catch = [] }: Transitions): readonly string[] =>
  [...Choices.map((choice) => choice.Next), Default, Next, ...Catch.map((one) => one.Next)].filter(
    (label) => label !== undefined,
  );
