import { type Condition, isReference, type Mapping, type Origin } from "./definition.ts";

/** What a run knows at one place, by where it comes from. A block inside another sees what its surroundings know. */
export type Known = ReadonlyMap<Origin, unknown>;

/**
 * A mapping with its references filled in. What a reference leads to is not there: it is `null`, as in a template of
 * every workflow service that does not fail.
 *
 * @throws if a reference's origin is not known at this place, which no checked definition has.
 */
export function resolve(mapping: Mapping, known: Known): unknown {
  if (isReference(mapping)) {
    if (!known.has(mapping.$)) throw new Error(`${mapping.$} is not known here`);
    return (mapping.at ?? []).reduce(fieldOf, known.get(mapping.$) ?? null);
  }
  if (Array.isArray(mapping)) return mapping.map((value: Mapping) => resolve(value, known));
  if (typeof mapping === "object" && mapping !== null) {
    return Object.fromEntries(Object.entries(mapping).map(([name, value]) => [name, resolve(value, known)]));
  }
  return mapping;
}

const fieldOf = (value: unknown, field: string): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value) && Object.hasOwn(value, field)
    ? ((value as Readonly<Record<string, unknown>>)[field] ?? null)
    : null;

/** Whether a condition holds. */
export function holds(condition: Condition, known: Known): boolean {
  switch (condition.op) {
    case "not":
      return !holds(condition.of, known);
    case "and":
      return condition.of.every((part) => holds(part, known));
    case "or":
      return condition.of.some((part) => holds(part, known));
    case "equals":
      return resolve(condition.left, known) === condition.right;
    default: {
      const value = resolve(condition.left, known);
      if (typeof value !== "number") return false;
      return condition.op === "above" ? value > condition.right : value < condition.right;
    }
  }
}
