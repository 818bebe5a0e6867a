/** How a task behaves, as its plan says it. Durations are seconds. */
export interface TaskDefinition {
  readonly name: string;
  /** Longest time of one attempt. */
  readonly timeout: number;
  /** Between the request to stop and the kill. */
  readonly grace: number;
  /** Tries of one run, the first included. */
  readonly attempts: number;
  readonly backoff: Backoff;
  /** Runs at once; absent: as many as the platform gives. */
  readonly concurrency?: number;
  /** Given up if not started within this time of being due. */
  readonly expires?: number;
  /** How long a finished run is remembered. */
  readonly retention: number;
  /** Told of success, in this order. */
  readonly onSuccess: readonly Destination[];
  /** Told of failure, stop and expiry. */
  readonly onFailure: readonly Destination[];
}

/** Wait before the next try: exponential from `first` to at most `longest` seconds. */
export interface Backoff {
  readonly first: number;
  readonly factor: number;
  readonly longest: number;
}

/** Who is told how a run ended. */
export interface Destination {
  readonly kind: "queue" | "function";
  readonly name: string;
}

/**
 * The milliseconds before the next try, after that many: anything from nothing to the exponential bound, so that
 * runs that failed together do not come back together.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMilliseconds({ first, factor, longest }: Backoff, tries: number, random: () => number): number {
  const bound = Math.min(longest, first * factor ** Math.max(0, tries - 1));
  return Math.round(random() * bound * 1000);
}
