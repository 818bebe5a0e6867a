import {
  type Block,
  type Condition,
  isReference,
  type Mapping,
  type Origin,
  type Reference,
  type Step,
} from "../../../shared/workflow/definition.ts";

/**
 * Where a run's data lie in the state of its machine:
 *
 *     { input, run, steps: { <step>: … }, items: { <map>: { index, value } }, loops: { <repeat>: { round, output } }, errors: { <step>: { kind, message } } }
 *
 * A map's items get a state of their own with what is read in them; branches see all.
 */
export class FlowData {
  readonly #types: ReadonlyMap<string, Step["type"]>;
  readonly #keys: ReadonlyMap<string, string>;

  constructor(steps: readonly Step[]) {
    this.#types = new Map(steps.map(({ name, type }) => [name, type]));
    this.#keys = keysOf(steps);
  }

  /** The step's name as a field that any JSONPath takes. */
  key(step: string): string {
    return this.#keys.get(step)!;
  }

  /** Where what a step comes to is written, and in which shape. */
  home({ name, type }: Step): { readonly path: string; around(output: object): object } {
    const key = this.key(name);
    if (type === "function") return { path: `$.steps.${key}`, around: (output) => ({ Payload: output }) };
    if (type === "task")
      return { path: `$.steps.${key}`, around: (output) => ({ Payload: { output: asResult(output) } }) };
    return { path: type === "repeat" ? `$.loops.${key}` : `$.steps.${key}`, around: (output) => output };
  }

  /** Where a reference leads; nothing for the output of a wait, which is always the same. */
  path(reference: Reference): string | undefined {
    const base = this.#base(reference.$);
    return base && [base, ...(reference.at ?? [])].join(".");
  }

  /** Whether it leads to something in every run. */
  isSure({ $, at = [] }: Reference): boolean {
    return at.length === 0 || ($.startsWith("error:") && at.length === 1 && (at[0] === "kind" || at[0] === "message"));
  }

  #base(origin: Origin): string | undefined {
    if (origin === "input" || origin === "run") return `$.${origin}`;
    const [kind, name = ""] = splitOrigin(origin);
    const key = this.key(name);
    switch (kind) {
      case "item":
        return `$.items.${key}.value`;
      case "state":
        return `$.loops.${key}.output`;
      case "error":
        return `$.errors.${key}`;
      default:
        return this.#stepBase(key, this.#types.get(name));
    }
  }

  #stepBase(key: string, type: Step["type"] | undefined): string | undefined {
    switch (type) {
      case "wait":
        return undefined;
      case "function":
        return `$.steps.${key}.Payload.output`;
      case "task":
        return `$.steps.${key}.Payload.output.result`;
      case "repeat":
        return `$.loops.${key}.output`;
      default:
        return `$.steps.${key}.output`;
    }
  }
}

/** A task's function answers more than its result. */
const asResult = (output: object): object =>
  Object.fromEntries(Object.entries(output).map(([name, value]) => [name.replace("output", "result"), value]));

const splitOrigin = (origin: string): readonly string[] => {
  const at = origin.indexOf(":");
  return [origin.slice(0, at), origin.slice(at + 1)];
};

/** Names have `-`, which a path would need quotes for. */
function keysOf(steps: readonly Step[]): ReadonlyMap<string, string> {
  const taken = new Set<string>();
  return new Map(
    steps.map(({ name }) => {
      const plain = name.replaceAll("-", "_");
      let key = plain;
      for (let number = 2; taken.has(key); number += 1) key = `${plain}_${number}`;
      taken.add(key);
      return [name, key] as const;
    }),
  );
}

/** Every reference in a block, a step, a condition or a mapping, however deep: nothing else has a field `$`. */
export function referencesIn(value: Block | Step | Condition | Mapping | readonly Mapping[]): readonly Reference[] {
  if (typeof value !== "object" || value === null) return [];
  if (isReference(value)) return [value];
  return Object.values(value).flatMap((inner: Mapping) => referencesIn(inner));
}

/** A literal, an expression (a path or an intrinsic), or an object with expressions in it. */
export type Payload = { readonly literal: unknown } | { readonly expression: string } | { readonly template: object };

/** A value that has to lie in the state before a list can be made of it. */
export interface Hoisted {
  /** It is the `value` there. */
  readonly path: string;
  readonly payload: Payload;
}

/**
 * A mapping as the language writes it. It knows no expression as a list's item: such a list is made by an intrinsic,
 * whose arguments are paths, so that what else is in the list is put into the state first.
 *
 * @param pathOf where a reference leads
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
 */
export function toPayload(
  mapping: Mapping,
  pathOf: (reference: Reference) => string | undefined,
  hoist: Hoisted[],
): Payload {
  if (isReference(mapping)) {
    const path = pathOf(mapping);
    return path === undefined ? { literal: mapping.at?.length ? null : {} } : { expression: path };
  }
  if (typeof mapping !== "object" || mapping === null) return { literal: mapping };
  if (Array.isArray(mapping)) {
    return toList(
      mapping.map((item: Mapping) => toPayload(item, pathOf, hoist)),
      hoist,
    );
  }
  const fields = Object.entries(mapping).map(
    ([name, value]) => [name, toPayload(value as Mapping, pathOf, hoist)] as const,
  );
  return fields.every(([, payload]) => "literal" in payload)
    ? { literal: mapping }
    : { template: Object.fromEntries(fields.map(([name, payload]) => fieldOf(name, payload))) };
}

function toList(items: readonly Payload[], hoist: Hoisted[]): Payload {
  if (items.every((item) => "literal" in item)) return { literal: items.map((item) => item.literal) };
  if (items.every(isPlain)) return { template: items.map(plainOf) };
  const paths = items.map((item) => ("expression" in item ? item.expression : hoisted(item, hoist)));
  return { expression: `States.Array(${paths.join(", ")})` };
}

const isPlain = (payload: Payload): payload is Exclude<Payload, { readonly expression: string }> =>
  !("expression" in payload);

function hoisted(payload: Payload, hoist: Hoisted[]): string {
  const path = `$.made.m${hoist.length}`;
  hoist.push({ path, payload });
  return `${path}.value`;
}

const plainOf = (payload: Exclude<Payload, { readonly expression: string }>): unknown =>
  "literal" in payload ? payload.literal : payload.template;

/** A field of a payload template. */
export const fieldOf = (name: string, payload: Payload): readonly [string, unknown] =>
  "expression" in payload ? [`${name}.$`, payload.expression] : [name, plainOf(payload)];

/** A step's path, whose pieces are texts and, as paths into the state, numbers of items and rounds. */
export type Place = readonly (string | { readonly number: string })[];

/** The place as a field: a literal, or an intrinsic that fills in the numbers. */
export function placeField(name: string, place: Place): readonly [string, string] {
  const numbers = place.flatMap((piece) => (typeof piece === "string" ? [] : [piece.number]));
  const text = place.map((piece) => (typeof piece === "string" ? piece : "{}")).join("");
  return numbers.length === 0 ? [name, text] : [`${name}.$`, `States.Format('${text}', ${numbers.join(", ")})`];
}
