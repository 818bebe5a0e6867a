import { type Clock, sleep } from "../../runtime/clock.ts";
import { type ErrorKind, MillraceError } from "../../runtime/errors.ts";

/** What a second try is given. */
export interface Tries {
  /** The first one included. */
  readonly tries: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What says nothing about the record: no other record would fare better. */
const OUTSIDE: readonly ErrorKind[] = ["unavailable", "interrupted", "stopped", "expired"];

const kindOf = (error: unknown): ErrorKind | undefined => (error instanceof MillraceError ? error.kind : undefined);

export const isOutside = (error: unknown): boolean => OUTSIDE.includes(kindOf(error) ?? "failed");

export const isConflict = (error: unknown): boolean => kindOf(error) === "conflict";

/** Milliseconds before the second try; twice as long before each one after it. */
const FIRST_PAUSE = 100;

/** Tries again what another moment may help: while the other side does not answer, or is at it itself. */
export async function tried<Result>(
  { tries, clock, signal }: Tries,
  work: () => Result | Promise<Result>,
  canHelp: (error: unknown) => boolean = (error) => kindOf(error) === "unavailable",
): Promise<Result> {
  for (let number = 1; ; number += 1) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (number >= tries || !canHelp(error)) throw error;
      await sleep(clock, FIRST_PAUSE * 2 ** (number - 1), signal);
    }
  }
}
