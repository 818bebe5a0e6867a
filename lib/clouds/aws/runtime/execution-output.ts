import { shortened } from "../../../runtime/errors.ts";
import type { Outcome } from "../../../runtime/tasks/platform.ts";

/** A state's data are 256 KiB; the rest is room for what the service puts around them. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html */
const LONGEST = 240 * 1024;

/**
 * What a worker answers the state machine once its attempt's end is stored: how it ended. A result that the service
 * cannot carry is left out, for the task's table has it.
 */
export function toOutput(outcome: Outcome): Outcome | Readonly<Record<string, never>> {
  if ("error" in outcome) {
    const { kind, message } = shortened(outcome.error);
    return { error: { kind, message } };
  }
  const { result = null } = outcome;
  return Buffer.byteLength(JSON.stringify(result)) <= LONGEST ? { result } : {};
}
