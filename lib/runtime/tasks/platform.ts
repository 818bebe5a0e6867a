import type { ErrorRecord } from "../errors.ts";
import type { PayloadReference } from "./envelope.ts";
import type { AttemptRef } from "./ids.ts";

/** All a platform needs to run one attempt. It is itself the {@link AttemptRef} to report by. */
export interface AttemptStart extends AttemptRef {
  /** The attempt's own id: `<id>--a<n>`. A platform that is asked to start one twice may run it once. */
  readonly attemptId: string;
  /** The whole payload, also where it lay in the claims bucket. */
  readonly payload: unknown;
  /** Where the payload lies if it is large: for platforms that cannot carry it themselves. */
  readonly payloadReference?: PayloadReference;
  readonly tenant?: string;
  /** When the platform is to end the attempt, milliseconds since 1970. */
  readonly deadline: number;
}

/** How an attempt ended. */
export type Outcome = { readonly result: unknown } | { readonly error: ErrorRecord };

/** What a platform knows of an attempt: it runs, it is not known (any more), or it ended so. */
export type AttemptState = "running" | "gone" | Outcome;

/**
 * What runs attempts: child processes, Function Compute, Step Functions, Jobs. It reports by
 * `TaskService.progressed` and `finished`; it may start an attempt twice, lose one, or report late.
 */
export interface TaskPlatform {
  /**
   * Resolves once the attempt is accepted, not when it ends.
   *
   * @throws `unavailable` if it can be tried again later without having used up an attempt.
   */
  start(attempt: AttemptStart): void | Promise<void>;
  /** Asks the attempt to end and ends it after the grace; one that is over or unknown is no error. */
  stop(attempt: AttemptRef, graceSeconds: number): void | Promise<void>;
  /** Asked when a run has not been heard of for long, and after a restart. */
  inspect(attempt: AttemptRef): AttemptState | Promise<AttemptState>;
}
