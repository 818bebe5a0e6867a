import { setTimeout as pause } from "node:timers/promises";
import type { FunctionInvoked } from "../../../lib/runtime/index.ts";

/** Takes long enough to be killed meanwhile. Every seventh cannot work, every fifth fails at its first try. */
export async function handler({ id, payload }: FunctionInvoked<{ readonly number: number }>) {
  const { number } = payload;
  await pause(50);
  if (number % 7 === 0) throw Object.assign(new Error(`${number} is a multiple of seven`), { kind: "bad-input" });
  if (number % 5 === 0 && id.endsWith("--a1")) throw new Error("not at the first try");
  return number;
}
