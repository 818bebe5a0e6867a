/** What happened, one on each line. */
export interface Happening {
  readonly type: string;
  /** @default 1 */
  readonly count?: number;
}

/** A pair for every record: what kind it is of, and how many it stands for. */
export const mapper = ({ type, count = 1 }: Happening) => [[type, count] as const];

/** All of a kind together; the same early, in the mappers, and at the end. */
export function reducer(_: string, values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
export const combiner = reducer;
