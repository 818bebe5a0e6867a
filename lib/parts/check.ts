import type { Problem } from "../shared/problem.ts";
import type { PartPlan } from "./plan.ts";
import type { Fact, OptionFact, Support } from "./support.ts";

/** What a cloud refuses of these parts, read off its support data. */
export const checkParts = (parts: readonly PartPlan[], support: Support): readonly Problem[] =>
  parts.flatMap((part) => [...checkPart(part, support), ...checkSources(part, support)]);

function checkPart(part: PartPlan, { title, parts }: Support): readonly Problem[] {
  const fact = parts[part.kind];
  if (fact.level === "refused") return [{ path: part.name, message: `${title} has no ${part.kind}: ${fact.how}` }];
  return Object.entries(fact.options).flatMap(([option, bound]) => {
    const given = (part as unknown as Record<string, unknown>)[option];
    return isAsked(given) ? checkOption(`${part.name}.${option}`, given, bound, title) : [];
  });
}

/** Left out, off, or empty is always allowed. */
const isAsked = (given: unknown): boolean =>
  given !== undefined && given !== false && !(Array.isArray(given) && given.length === 0);

function checkOption(
  path: string,
  given: unknown,
  { level, how, min, max, values }: OptionFact,
  title: string,
): readonly Problem[] {
  if (level === "refused") return [{ path, message: `${title} refuses this: ${how}`, given }];
  if (values && !values.includes(given as never))
    return [{ path, message: `${title} does not allow this`, given, allowed: values.join(", ") }];
  if (typeof given !== "number" || (given >= (min ?? -Infinity) && given <= (max ?? Infinity))) return [];
  const allowed = [min !== undefined && `at least ${min}`, max !== undefined && `at most ${max}`]
    .filter(Boolean)
    .join(", ");
  return [{ path, message: `outside what ${title} allows: ${how}`, given, allowed }];
}

function checkSources(part: PartPlan, { title, sources, limits }: Support): readonly Problem[] {
  if (part.kind !== "function") return [];
  return part.sources.flatMap((source) => {
    const fact: Fact = sources[source.type];
    const longest = source.type === "queue.received" ? limits.eventFunctionSeconds?.value : undefined;
    return [
      ...(fact.level === "refused"
        ? [{ path: `${part.name}.when`, message: `${title} has no ${source.type}: ${fact.how}` }]
        : []),
      ...(longest !== undefined && part.timeout > longest
        ? [
            {
              path: `${part.name}.timeout`,
              message: `a function that a queue starts on ${title}`,
              given: part.timeout,
              allowed: `at most ${longest} seconds; hand longer work to a task`,
            },
          ]
        : []),
    ];
  });
}
