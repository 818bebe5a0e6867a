import {
  type Condition,
  isReference,
  type Mapping,
  type Origin,
  type Reference,
} from "../../../shared/workflow/definition.ts";
import type { Constructor } from "./flow-states.ts";

/** Where what is known lies, as an expression. */
export type Roots = ReadonlyMap<Origin, string>;

/** The expression of a reference. */
export function expressionOf({ $, at = [] }: Reference, roots: Roots): string {
  const root = roots.get($);
  if (root === undefined) throw new Error(`${$} is not known here: the definition is not checked`);
  return [root, ...at].join(".");
}

/** A field of a constructor that comes to the mapping's value; its lists hold no reference. */
export function fieldOf(name: string, mapping: Mapping, roots: Roots): Constructor {
  if (isReference(mapping)) return { [`${name}.$`]: expressionOf(mapping, roots) };
  if (Array.isArray(mapping) || typeof mapping !== "object" || mapping === null) return { [name]: mapping };
  const fields = Object.entries(mapping).map(([inner, value]) => fieldOf(inner, value as Mapping, roots));
  return { [name]: Object.assign({}, ...fields) as Constructor };
}

/** Whether a reference stands in a list: no document shows an expression there, so a function fills it in. */
export function hasReferenceInList(mapping: Mapping): boolean {
  if (isReference(mapping)) return false;
  if (Array.isArray(mapping)) return mapping.some(hasReference);
  return typeof mapping === "object" && mapping !== null && Object.values(mapping).some(hasReferenceInList);
}

function hasReference(mapping: Mapping): boolean {
  if (isReference(mapping)) return true;
  return typeof mapping === "object" && mapping !== null && Object.values(mapping).some(hasReference);
}

/** A mapping as a text with numbered places, and what comes to each of them. */
export function template(mapping: Mapping, roots: Roots): { readonly text: string; readonly values: Constructor } {
  const values: Record<string, string> = {};
  const numbered = (part: Mapping): Mapping => {
    if (isReference(part)) {
      const place = `r${Object.keys(values).length}`;
      values[`${place}.$`] = expressionOf(part, roots);
      return { $: place as Origin };
    }
    if (Array.isArray(part)) return part.map(numbered);
    if (typeof part !== "object" || part === null) return part;
    return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, numbered(value as Mapping)]));
  };
  return { text: JSON.stringify(numbered(mapping)), values };
}

/** Texts of these stand in a condition as they are; others are compared with a field that holds them. */
const PLAIN_TEXT = /^[A-Za-z0-9 _.,:;/@-]*$/;

/**
 * A condition as an expression.
 *
 * @param aside takes a text that does not go into an expression, and answers the one that leads to it
 */
export function conditionOf(condition: Condition, roots: Roots, aside: (text: string) => string): string {
  switch (condition.op) {
    case "not":
      return `!(${conditionOf(condition.of, roots, aside)})`;
    case "and":
    case "or": {
      const parts = condition.of.map((part) => `(${conditionOf(part, roots, aside)})`);
      return parts.join(condition.op === "and" ? " && " : " || ");
    }
    case "equals": {
      const { left, right } = condition;
      const text = typeof right !== "string" ? String(right) : PLAIN_TEXT.test(right) ? `"${right}"` : aside(right);
      return `${expressionOf(left, roots)} == ${text}`;
    }
    default:
      return `${expressionOf(condition.left, roots)} ${condition.op === "above" ? ">" : "<"} ${condition.right}`;
  }
}
