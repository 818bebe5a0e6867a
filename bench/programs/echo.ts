import type { FunctionInvoked } from "../../lib/runtime/index.ts";

/** Answers what it is given. */
export const handler = async ({ payload }: FunctionInvoked<{ readonly number: number }>) => payload;
