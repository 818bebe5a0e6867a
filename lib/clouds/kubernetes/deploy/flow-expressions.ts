import {
  type Block,
  blocksOf,
  type Condition,
  isReference,
  type Mapping,
  type Origin,
  type Reference,
  type Step,
  stepsOf,
} from "../../../shared/workflow/definition.ts";

/** Where the JSON text of what is known lies, as an expression, and what leads from its value to what is meant. */
export interface Root {
  readonly text: string;
  readonly field?: "output" | "error";
  /** The text is the value itself. */
  readonly isPlain?: true;
}
export type Roots = ReadonlyMap<Origin, Root>;

/**
 * A value as Argo carries it: its JSON in base64. Argo puts values into the JSON of templates and looks for `{{` in the
 * result again, and again: a text of the user's would be taken for one of its expressions, and some characters break the
 * JSON. https://github.com/argoproj/argo-workflows/blob/main/util/template/simple_template.go
 */
export const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");

/** What a step says whose pod ended without an answer. */
export const LOST = encoded({
  status: "failed",
  error: { kind: "unavailable", message: "the step's pod ended without an answer" },
});

/** The expression of a failure. */
export const failure = (kind: string, message: string): string =>
  text(encoded({ status: "failed", error: { kind, message } }));

/** A text of our own, or in base64. */
export const text = (value: string): string => `"${value}"`;

/** What a JSON text in base64 comes to. */
export const decoded = (expression: string): string => `fromJSON(fromBase64(${expression}))`;

/** The base64 of a value's JSON. */
export const toText = (expression: string): string => `toBase64(toJson(${expression}))`;

/** What a step of this template has answered; `LOST` too if it was left out. */
export const answerOf = (step: string): string => `(${given(step, "answer")} ?? ${text(LOST)})`;

/**
 * An output of a step of this template; nil if the step was left out. Before the step has its turn it is an error, and
 * must be: Argo evaluates what it can when the template is called, and knows a `steps` with a `name` alone by then.
 */
export const given = (step: string, output: string): string => `steps['${step}'].outputs?.parameters?.${output}`;

/** Whether an answer says that all went well. */
export const isOk = (answer: string): string => `${decoded(answer)}.status == "succeeded"`;

/** Whether an answer tells of a failure. */
export const isFailed = (answer: string): string => `${decoded(answer)}.status == "failed"`;

/** In a `{{=…}}`: nothing in an expression may end it. */
export const tag = (expression: string): string => {
  if (expression.includes("}}") || expression.includes("{{")) throw new Error(`braces in an expression: ${expression}`);
  return `{{=${expression}}}`;
};

/** What an expression comes to, given a name: the language has none. */
export const withValue = (expression: string, use: (value: string) => string): string =>
  `map([${expression}], ${use("#")})[0]`;

/** The value of a reference: `null` where it leads to nothing. */
export function referred({ $, at = [] }: Reference, roots: Roots): string {
  const root = roots.get($);
  if (root === undefined) throw new Error(`${$} is not known here: the definition is not checked`);
  const whole = root.isPlain ? root.text : `${decoded(root.text)}${root.field ? `.${root.field}` : ""}`;
  if (at.length === 0) return whole;
  const path = at.map((field) => text(field)).join(", ");
  return `reduce([${path}], type(#acc) == "map" ? get(#acc, #) : nil, ${whole})`;
}

/** The value of a mapping. What it holds beside references is in base64: it may look like anything. */
export function mapped(mapping: Mapping, roots: Roots): string {
  if (isReference(mapping)) return referred(mapping, roots);
  if (!hasReference(mapping)) return literal(mapping);
  if (Array.isArray(mapping)) return `[${mapping.map((value: Mapping) => mapped(value, roots)).join(", ")}]`;
  return object(Object.entries(mapping as object).map(([name, value]) => [name, mapped(value as Mapping, roots)]));
}

/** An object of expressions. */
export const object = (fields: readonly (readonly [name: string, expression: string])[]): string =>
  `{${fields.map(([name, expression]) => `${key(name)}: ${expression}`).join(", ")} }`;

const key = (name: string): string => (PLAIN.test(name) ? text(name) : `(${fromText(name)})`);

const literal = (value: unknown): string =>
  typeof value === "boolean" || (typeof value === "string" && PLAIN.test(value))
    ? JSON.stringify(value)
    : decoded(text(encoded(value)));

const fromText = (value: string): string => `fromBase64(${text(Buffer.from(value).toString("base64"))})`;

const PLAIN = /^[A-Za-z0-9 _.-]*$/;

const hasReference = (mapping: Mapping): boolean =>
  isReference(mapping) ||
  (typeof mapping === "object" && mapping !== null && Object.values(mapping).some((value) => hasReference(value)));

/** Whether a condition holds. */
export function holding(condition: Condition, roots: Roots): string {
  switch (condition.op) {
    case "not":
      return `!(${holding(condition.of, roots)})`;
    case "and":
    case "or":
      return condition.of.map((part) => `(${holding(part, roots)})`).join(condition.op === "and" ? " && " : " || ");
    case "equals": {
      const { left, right } = condition;
      return `${referred(left, roots)} == ${typeof right === "string" && !PLAIN.test(right) ? fromText(right) : JSON.stringify(right)}`;
    }
    default: {
      const sign = condition.op === "above" ? ">" : "<";
      return `any([${referred(condition.left, roots)}], ${IS_NUMBER} && # ${sign} ${condition.right})`;
    }
  }
}

/** Whether `#` is a number. */
export const IS_NUMBER = 'type(#) in ["int", "float"]';

/** What a mapping refers to, each once. */
export function originsIn(...mappings: readonly Mapping[]): readonly Origin[] {
  const origins = mappings.flatMap((mapping): readonly Origin[] => {
    if (isReference(mapping)) return [mapping.$];
    return typeof mapping === "object" && mapping !== null ? originsIn(...Object.values(mapping)) : [];
  });
  return [...new Set(origins)].sort();
}

/** What a condition refers to, each once. */
export function originsOfCondition(condition: Condition): readonly Origin[] {
  if (condition.op === "not") return originsOfCondition(condition.of);
  return "left" in condition ? [condition.left.$] : merged(condition.of.map(originsOfCondition));
}

/** What blocks refer to that lies outside of them, each once; but for `input` and `run`, which are known everywhere. */
export const needsOf = (...blocks: readonly Block[]): readonly Origin[] =>
  merged(
    blocks.map((block) => {
      const all = merged([originsIn(block.output), ...block.steps.map(originsOfStep)]);
      const own = new Set<Origin>(stepsOf(block).flatMap(({ name }) => ownOrigins(name)));
      return all.filter((origin) => !own.has(origin) && origin !== "input" && origin !== "run");
    }),
  );

const ownOrigins = (name: string): readonly Origin[] => [
  `step:${name}`,
  `item:${name}`,
  `state:${name}`,
  `error:${name}`,
];

/** What a step itself refers to, and all that is inside. */
function originsOfStep(step: Step): readonly Origin[] {
  const inside = blocksOf(step).flatMap(([, block]) => [originsIn(block.output), ...block.steps.map(originsOfStep)]);
  return merged([ownReferences(step), ...inside]);
}

function ownReferences(step: Step): readonly Origin[] {
  switch (step.type) {
    case "function":
    case "callback":
      return originsIn(step.input);
    case "task":
      return originsIn(step.id, step.input);
    case "map":
      return [step.items.$];
    case "choice":
      return merged(step.options.map(({ if: condition }) => originsOfCondition(condition)));
    case "repeat":
      return merged([originsIn(step.from), originsOfCondition(step.until)]);
    case "wait":
      return isReference(step.seconds) ? [step.seconds.$] : [];
    case "succeed":
      return originsIn(step.output);
    case "fail":
      return originsIn(step.message);
    case "parallel":
      return [];
  }
}

const merged = (lists: readonly (readonly Origin[])[]): readonly Origin[] => [...new Set(lists.flat())].sort();
