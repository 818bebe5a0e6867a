import type { ErrorKind } from "../errors.ts";

/** What the platforms' words mean; whatever else it is, the attempt failed. */
const KINDS: readonly [words: RegExp, kind: ErrorKind][] = [
  [/time[ds]?[ -]?out/i, "timed-out"],
  [/EventAgeExceeded|expired/i, "expired"],
  // It never began, or its machine went away: that uses up no attempt.
  [/throttl|TooManyRequests|ConcurrencyLimit|capacity is unavailable|interrupted/i, "interrupted"],
];

/** The kind of error that a platform tells of in words of its own. */
export const kindOfWords = (words: string): ErrorKind => KINDS.find(([known]) => known.test(words))?.[1] ?? "failed";
