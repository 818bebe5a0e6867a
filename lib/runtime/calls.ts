import { randomUUID } from "node:crypto";
import { isObject } from "../shared/is-object.ts";
import type { Clock } from "./clock.ts";
import type { FunctionInvoked } from "./events.ts";
import type { SubmitOptions } from "./tasks/task.ts";

/**
 * A call of one function by another, as it travels where the platform carries bytes only: beside the payload, who
 * it is and how it is to be submitted. A payload without this is taken as it is.
 */
export interface FunctionCall {
  readonly millrace: "call";
  readonly id: string;
  readonly payload: unknown;
  readonly options?: SubmitOptions;
  /** ISO 8601. */
  readonly time: string;
}

/** The call a value is; nothing if it is something else. */
const readCall = (value: unknown): FunctionCall | undefined =>
  isObject(value) && value.millrace === "call" && typeof value.id === "string"
    ? (value as unknown as FunctionCall)
    : undefined;

/** A call with an id of its own. */
export const newCall = (payload: unknown, clock: Clock): FunctionCall => ({
  millrace: "call",
  id: randomUUID(),
  payload,
  time: new Date(clock.now()).toISOString(),
});

/**
 * What a function is called with: a call of ours with its own id, or anybody else's; the envelope of an asynchronous
 * call's end is one too.
 *
 * @param otherwise what is taken of a call that does not say it; its time is ISO 8601
 */
export function toFunctionInvoked(
  value: unknown,
  otherwise: { readonly requestId: string; readonly now: string },
): FunctionInvoked {
  const call = readCall(value);
  if (!call) return { type: "function.invoked", id: otherwise.requestId, payload: value, time: otherwise.now };
  const { id, payload, options, time } = call;
  return { type: "function.invoked", id, payload, ...(options && { options }), time };
}
