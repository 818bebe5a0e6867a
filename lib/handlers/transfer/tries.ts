import { type Clock, sleep } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { Log } from "../../runtime/handler.ts";
import type { ObjectFailure } from "./state.ts";

const TRIES = 4;

/** What no other try brings about: the object is given up, and the others go on. */
export function givenUp(
  { key, target }: { readonly key: string; readonly target: string },
  error: unknown,
): ObjectFailure | undefined {
  const kind = error instanceof MillraceError && LOST.find((lost) => lost === error.kind);
  return kind ? { key, target, kind, message: (error as MillraceError).message } : undefined;
}

const LOST = ["conflict", "not-found", "bad-input"] as const;

/** Lines break, and what came may not be what was sent: another try, a little later each time. */
export async function tried<Result>(
  { clock, signal, log }: { readonly clock: Clock; readonly signal: AbortSignal; readonly log: Log },
  work: () => Promise<Result>,
): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      const helps = error instanceof MillraceError && AGAIN.includes(error.kind) && tries < TRIES;
      if (!helps) throw error;
      log.warn("another try", { error });
      await sleep(clock, 2 ** tries * 100 * (1 + Math.random()), signal);
    }
  }
}

const AGAIN: readonly MillraceError["kind"][] = ["failed", "unavailable", "timed-out"];
