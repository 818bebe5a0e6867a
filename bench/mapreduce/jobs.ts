/** What is measured: over lines such as `{"user":"u12","amount":7,"text":"…"}`. */
export type JobName = "sum" | "words";

interface Happening {
  readonly user: string;
  readonly amount: number;
}

export const JOBS = {
  /** Amounts by user, of JSON lines. */
  sum: { format: "jsonl", mapper: ({ user, amount }: Happening) => [[user, amount] as const] },
  /** How often each word is there, of lines. */
  words: {
    format: "lines",
    *mapper(line: string): Generator<readonly [string, number]> {
      for (const word of line.split(" ")) yield [word, 1];
    },
  },
} as const;

export function sum(_: string, values: Iterable<number>): number {
  let all = 0;
  for (const value of values) all += value;
  return all;
}
