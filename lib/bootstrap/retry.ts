import { setTimeout as sleep } from "node:timers/promises";

/** A request that got an answer, but not the one that was asked for. */
export class Unanswered extends Error {
  readonly status: number;

  constructor(what: string, status: number) {
    super(`${what}: ${status}`);
    this.status = status;
  }
}

/** What would end the same way again. */
export class Final extends Error {}

const ATTEMPTS = 6;
/** Milliseconds: the pause before the second attempt is at most this long, each one after it twice the one before. */
const FIRST_PAUSE = 200;

/** Tries again what the network or the other side's state has failed, after pauses of random length: 6 seconds at most in all. */
export async function retried<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS || isFinal(error)) throw error;
      await sleep(Math.random() * FIRST_PAUSE * 2 ** (attempt - 1));
    }
  }
}

const isFinal = (error: unknown): boolean =>
  error instanceof Final || (error instanceof Unanswered && error.status < 500 && ![408, 429].includes(error.status));

/** `fetch` says only that it failed; its cause says why. */
export function reasonOf({ message, cause }: Error): string {
  if (!(cause instanceof Error)) return message;
  return `${message}: ${cause.message || (cause as NodeJS.ErrnoException).code}`;
}
