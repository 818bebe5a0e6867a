import type { PayloadReference } from "./envelope.ts";
import type { AttemptRef } from "./ids.ts";
import type { AttemptStart } from "./platform.ts";

/** One attempt as it travels to a worker: with its payload, or with where that lies. */
export interface AttemptCall extends AttemptRef {
  readonly millrace: "attempt";
  readonly attemptId: string;
  readonly tenant?: string;
  /** Milliseconds since 1970. */
  readonly deadline: number;
  readonly payload: { readonly value: unknown } | { readonly reference: PayloadReference };
}

/** The call that starts the attempt; a payload that lies in the claims bucket is referred to. */
export const attemptCall = (start: AttemptStart): AttemptCall => {
  const { task, id, attempt, attemptId, tenant, deadline, payload, payloadReference: reference } = start;
  return {
    millrace: "attempt",
    task,
    id,
    attempt,
    attemptId,
    ...(tenant !== undefined && { tenant }),
    deadline,
    payload: reference ? { reference } : { value: payload },
  };
};

/** The attempt a value tells of; nothing if it is something else. */
export const readAttemptCall = (value: unknown): AttemptCall | undefined =>
  typeof value === "object" && value !== null && (value as AttemptCall).millrace === "attempt"
    ? (value as AttemptCall)
    : undefined;
