import { sleep } from "../../runtime/clock.ts";
import { type ErrorKind, MillraceError } from "../../runtime/errors.ts";
import type { Context } from "../../runtime/handler.ts";

/** What waiting takes. */
export type Waiting = Pick<Context, "clock" | "signal" | "log" | "run">;

const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;
/** Whoever has what is wanted is done with it in a moment, most times. */
const LONGEST_QUEUE = 500;
/** Kept of an invocation's time, to end it in an orderly way; of a short one a fifth. */
const RESERVE = 10_000;

/**
 * Does the work again, a little later each time, as long as the other side may come back and the invocation has time.
 * Volumes, tables and locks do come back: a batch that fails only comes again itself.
 */
export async function patiently<Result>(
  world: Waiting,
  work: () => Promise<Result>,
  kinds: readonly ErrorKind[] = AGAIN,
): Promise<Result> {
  const { clock, signal, log } = world;
  const begun = clock.now();
  const left = world.run.deadline - begun;
  const until = begun + Math.max(left * 0.8, left - RESERVE);
  for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      const isTaken = error instanceof MillraceError && error.kind === "conflict";
      const wait = (isTaken ? Math.min(pause, LONGEST_QUEUE) : pause) * (0.5 + Math.random());
      const helps = error instanceof MillraceError && kinds.includes(error.kind) && clock.now() + wait < until;
      if (!helps) throw error;
      if (!isTaken) log.warn("another try", { error: error.message });
      await sleep(clock, wait, signal);
    }
  }
}

const AGAIN: readonly ErrorKind[] = ["unavailable", "timed-out", "conflict"];
