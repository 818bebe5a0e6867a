/** A line of an access log, as CSV has it. */
export interface Hit {
  readonly user: string;
  /** ISO 8601. */
  readonly time: string;
  readonly path: string;
}

/** Hits of one user with no longer pause between them. */
export interface Session {
  readonly began: string;
  readonly ended: string;
  readonly hits: number;
}

/** Milliseconds. */
const LONGEST_PAUSE = 30 * 60_000;

/** Who was there when; a time that is none is a bad record. */
export function mapper({ user, time }: Hit) {
  const at = Date.parse(time);
  if (Number.isNaN(at)) throw new Error(`time: an ISO 8601 time is wanted, got "${time}"`);
  return [[user, at] as const];
}

/** The sessions of a user, one after the other. */
export function* reducer(_: string, times: Iterable<number>): Generator<Session> {
  const inOrder = [...times].sort((one, other) => one - other);
  let [first, last, hits] = [inOrder[0]!, inOrder[0]!, 0];
  for (const time of inOrder) {
    if (time - last > LONGEST_PAUSE) {
      yield sessionOf(first, last, hits);
      [first, hits] = [time, 0];
    }
    [last, hits] = [time, hits + 1];
  }
  yield sessionOf(first, last, hits);
}

const sessionOf = (first: number, last: number, hits: number): Session => ({
  began: new Date(first).toISOString(),
  ended: new Date(last).toISOString(),
  hits,
});
