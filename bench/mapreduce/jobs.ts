import type { Columns } from "../../lib/shared/mapreduce/sql.ts";

/** What is measured: over lines such as `{"user":"u12","amount":7,"text":"…"}`. */
export type JobName = "sum" | "words";

interface Happening {
  readonly user: string;
  readonly amount: number;
}

interface QueryOfJob {
  readonly sql: string;
  readonly columns: Columns;
}

export const JOBS = {
  /** Amounts by user, of JSON lines. */
  sum: {
    format: "jsonl",
    mapper: ({ user, amount }: Happening) => [[user, amount] as const],
    query: {
      sql: `SELECT "user" AS key, sum(amount) AS value FROM records GROUP BY 1`,
      columns: { user: "VARCHAR", amount: "BIGINT" },
    } as QueryOfJob,
  },
  /** How often each word is there, of lines. */
  words: {
    format: "lines",
    *mapper(line: string): Generator<readonly [string, number]> {
      for (const word of line.split(" ")) yield [word, 1];
    },
    query: {
      sql: "SELECT word AS key, count(*) AS value FROM (SELECT unnest(string_split(line, ' ')) AS word FROM records) GROUP BY 1",
      columns: {},
    } as QueryOfJob,
  },
} as const;

export function sum(_: string, values: Iterable<number>): number {
  let all = 0;
  for (const value of values) all += value;
  return all;
}

/** The same in SQL. */
export const TOTAL: QueryOfJob = { sql: "SELECT key, sum(value) AS value FROM pairs GROUP BY key", columns: {} };
