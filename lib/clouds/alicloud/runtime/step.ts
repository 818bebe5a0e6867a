import { readStepCall, type StepCall } from "../../../runtime/workflows/step-call.ts";

/** The step a call is one of. The service counts retries from 0, and its language cannot add. */
export function toStepCall(value: unknown): StepCall | undefined {
  const call = readStepCall(value);
  const { retries } = (value ?? {}) as { readonly retries?: number | string };
  return call && retries !== undefined ? { ...call, attempt: Number(retries) + 1 } : call;
}
