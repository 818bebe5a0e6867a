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
export const readCall = (value: unknown): FunctionCall | undefined =>
  isObject(value) && value.millrace === "call" && typeof value.id === "string"
    ? (value as unknown as FunctionCall)
    : undefined;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;
