import type { PartPlan, Plan } from "../parts/plan.ts";
import { MillraceError } from "../runtime/errors.ts";

type NamedKind = Extract<PartPlan["kind"], "task" | "bucket" | "queue" | "workflow" | "stream">;

/** Names of all parts of a kind. */
export const namesOf = (plan: Plan, kind: NamedKind): readonly string[] =>
  plan.parts.filter((part) => part.kind === kind).map(({ name }) => name);

/**
 * The part a user means by a word: its own name, or its construct's if that has just one of the kind.
 *
 * @throws `not-found`, with the names there are.
 */
export function resolveName(plan: Plan, kind: NamedKind, word: string): string {
  const names = namesOf(plan, kind);
  if (names.includes(word)) return word;
  const family = familyOf(plan, word);
  const own = plan.parts.filter((part) => part.kind === kind && family.has(part.construct)).map(({ name }) => name);
  if (own.length === 1) return own[0]!;
  if (own.length > 1)
    throw new MillraceError("not-found", `${word} has more than one ${kind}; name one of ${own.join(", ")}`);
  const known = names.length > 0 ? `there are ${names.join(", ")}` : `the plan has no ${kind}`;
  throw new MillraceError("not-found", `there is no ${kind} "${word}"; ${known}`);
}

/** A construct and all that are made in it. */
function familyOf({ constructs }: Plan, name: string): ReadonlySet<string> {
  const family = new Set(constructs.filter((construct) => construct.name === name).map((construct) => construct.name));
  for (const member of family)
    for (const { name: child, parent } of constructs) if (parent === member) family.add(child);
  return family;
}
