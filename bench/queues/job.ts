import { existsSync } from "node:fs";

/** What every contender's worker is given. */
export interface Job {
  /** When it was submitted, by {@link now}. */
  readonly at?: number;
  /** It occupies its slot until there is such a file. */
  readonly until?: string;
}

/** Milliseconds since 1970 with fractions: the same in every process of the machine. */
export const now = (): number => performance.timeOrigin + performance.now();

/** Nothing at all, or waiting for a file; answers the milliseconds from submit to start. */
export async function work({ at, until }: Job): Promise<number> {
  const started = now();
  while (until !== undefined && !existsSync(until)) await new Promise((resolve) => setTimeout(resolve, 5));
  return at === undefined ? 0 : started - at;
}
