import type { Row, TableReader } from "../../ports.ts";
import type { WaitEntry } from "./entries.ts";
import { behindDue, END, type Partitions, readWait } from "./keys.ts";
import { merged } from "./pages.ts";

type WaitRow = Row<WaitEntry>;

/** A run that expired this long ago has been given up, or never was: its entry is followed, to be removed. */
const LONG_EXPIRED = 300_000;

/** Entries of waiting runs that are due, in the order of their starts. Those of runs that have just expired are left out. */
export async function* dueWaiting(
  table: TableReader,
  partitions: Partitions,
  task: string,
  { now, limit }: { readonly now: number; readonly limit: number },
): AsyncGenerator<WaitRow, void, undefined> {
  const shards = partitions.waiting(task).map((partition) => dueIn(table, partition, now, limit));
  for await (const row of merged(shards)) {
    const { expires = Infinity } = row.value;
    if (expires > now || expires <= now - LONG_EXPIRED) yield row;
  }
}

/**
 * Priority comes before due time in the order, so that runs that are due lie between ones that are not: what is left
 * of a priority is skipped at its first run that is not due, with one query.
 */
async function* dueIn(
  table: TableReader,
  partition: string,
  now: number,
  limit: number,
): AsyncGenerator<WaitRow, void, undefined> {
  let after = "";
  while (true) {
    const page = await table.query<WaitEntry>(partition, { limit, ...(after !== "" && { after }) });
    for (const row of page.rows) {
      if (row.sort <= after) continue;
      const { rank, due } = readWait(row.sort);
      after = due > now ? `${rank}.${END}` : row.sort;
      if (due <= now) yield row;
    }
    if (page.next === undefined) return;
    if (page.next > after) after = page.next;
  }
}

/** The first time after that one at which a waiting run is due. */
export async function nextStart(
  table: TableReader,
  partitions: Partitions,
  task: string,
  after: number,
): Promise<number | undefined> {
  const times = await Promise.all(partitions.waiting(task).map((partition) => nextIn(table, partition, after)));
  return times.reduce((first, time) => earlier(first, time), undefined);
}

/** Looks at one run of each priority. */
async function nextIn(table: TableReader, partition: string, time: number): Promise<number | undefined> {
  let first: number | undefined;
  let after = "";
  while (true) {
    const page = await table.query<WaitEntry>(partition, { limit: PAGE, ...(after !== "" && { after }) });
    for (const { sort } of page.rows) {
      if (sort <= after) continue;
      const { rank, due } = readWait(sort);
      after = due > time ? `${rank}.${END}` : behindDue(rank, time);
      if (due > time) first = earlier(first, due);
    }
    if (page.next === undefined) return first;
    if (page.next > after) after = page.next;
  }
}

const PAGE = 20;

/** The earlier of two times, if there are any. */
export const earlier = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
