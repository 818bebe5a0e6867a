import type { ErrorKind } from "../../../runtime/errors.ts";
import type { Tries } from "../../../shared/workflow/definition.ts";

/** Whether another attempt can help. */
export const KINDS: Readonly<Record<ErrorKind, boolean>> = {
  "bad-input": false,
  failed: true,
  "timed-out": true,
  stopped: false,
  expired: false,
  interrupted: true,
  "not-found": false,
  conflict: true,
  refused: false,
  unavailable: true,
};

/** No other attempt changes these. */
export const FINAL: readonly string[] = Object.entries(KINDS).flatMap(([kind, helps]) => (helps ? [] : [kind]));

/**
 * Lambda did not take the call. These count in the attempt's number too: a function that was throttled before may answer
 * its failure some attempts too early.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
 */
export const NOT_TAKEN = {
  ErrorEquals: [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
  ],
  IntervalSeconds: 1,
  MaxAttempts: 6,
  BackoffRate: 2,
  JitterStrategy: "FULL",
};

/** What the service says of what took too long. */
export const LATE = ["States.Timeout", "States.HeartbeatTimeout", "Sandbox.Timedout"];

/** What may be done twice. */
export const AGAIN = {
  ErrorEquals: ["States.ALL"],
  IntervalSeconds: 1,
  MaxAttempts: 4,
  BackoffRate: 2,
  JitterStrategy: "FULL",
};

/** https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-retrying-after-an-error */
export function retriesOf({ attempts, backoff: { first, factor, longest } }: Tries): readonly object[] {
  if (attempts === 1) return [];
  const interval = Math.max(1, Math.round(first));
  return [
    { ErrorEquals: FINAL, MaxAttempts: 0 },
    {
      ErrorEquals: ["States.ALL"],
      IntervalSeconds: interval,
      MaxAttempts: attempts - 1,
      BackoffRate: Math.max(1, factor),
      ...(longest > interval && { MaxDelaySeconds: Math.round(longest) }),
      ...(longest <= interval && { BackoffRate: 1 }),
      JitterStrategy: "FULL",
    },
  ];
}
