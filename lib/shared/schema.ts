import type { z } from "zod";
import type { Problem } from "./problem.ts";

/** What zod found wrong with `given`, each as a problem of the user's: where, what was given, what is allowed. */
export const schemaProblems = (error: z.ZodError, given: unknown, path: string): readonly Problem[] =>
  error.issues.flatMap((issue) => problemsOf(issue, given, path));

function problemsOf(issue: z.core.$ZodIssue, given: unknown, root: string): readonly Problem[] {
  const path = issue.path.reduce<string>(join, root);
  const value = issue.path.reduce<unknown>(
    (outer, key) => (outer as Record<PropertyKey, unknown> | undefined)?.[key],
    given,
  );
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({ path: join(path, key), message: "there is no such option" }));
  if (issue.code === "invalid_value")
    return [{ path, message: "not one of what is allowed", given: value, allowed: issue.values.join(", ") }];
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // Of several forms, the one the user came nearest to: the one that got furthest into the value.
    const nearest = issue.errors.reduce((best, errors) => (depth(errors) > depth(best) ? errors : best));
    return nearest.flatMap((inner) => problemsOf(inner, value, path));
  }
  return [
    {
      path,
      message: value === undefined ? "is missing" : lowerFirst(issue.message),
      ...(value !== undefined && { given: value }),
    },
  ];
}

const depth = (issues: readonly z.core.$ZodIssue[]): number =>
  Math.max(0, ...issues.map(({ code, path }) => path.length + (code === "unrecognized_keys" ? 1 : 0)));

const join = (path: string, key: PropertyKey): string =>
  typeof key === "number" ? `${path}[${key}]` : `${path}.${String(key)}`;

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
