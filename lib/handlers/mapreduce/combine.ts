import { MillraceError } from "../../runtime/errors.ts";
import type { Combine, CombineAll } from "./pairs.ts";
import type { CombinerModule, GroupProgram, UserContext } from "./user-code.ts";

/** The user's combiner, as pairs are combined by it. */
export function combineOf(
  combiner: CombinerModule | GroupProgram | undefined,
  context: UserContext,
): { readonly combine?: Combine; readonly combineAll?: CombineAll } {
  if (combiner === undefined) return {};
  if (typeof combiner === "function") return { combineAll: (groups) => groupAnswers(combiner, groups) };
  return { combine: (key, values) => combined(combiner, key, values, context) };
}

function combined(
  { combiner }: CombinerModule,
  key: string,
  values: readonly unknown[],
  context: UserContext,
): unknown {
  const value = combiner(key, values as readonly never[], context);
  if (value === undefined)
    throw new MillraceError("bad-input", `the combiner answers nothing for ${JSON.stringify(key)}`);
  return value;
}

/** What a program makes of groups: one value for each. */
export async function groupAnswers(
  program: GroupProgram,
  groups: readonly (readonly [key: string, values: readonly unknown[]])[],
): Promise<readonly unknown[]> {
  const answers = await program(groups);
  if (!Array.isArray(answers) || answers.length !== groups.length) {
    throw new MillraceError("bad-input", `one value for each of ${groups.length} keys is wanted, in their order`);
  }
  return answers;
}
