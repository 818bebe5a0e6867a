import type { Row, TableReader } from "../../ports.ts";

/** The most rows a table answers at once. */
export const LARGEST_PAGE = 1000;

/** All rows of a partition behind that sort key, as they are needed. */
export async function* rowsOf<Value>(
  table: TableReader,
  partition: string,
  { after, limit = LARGEST_PAGE }: { readonly after?: string; readonly limit?: number } = {},
): AsyncGenerator<Row<Value>, void, undefined> {
  let next = after;
  do {
    const page = await table.query<Value>(partition, { limit, ...(next !== undefined && { after: next }) });
    yield* page.rows;
    next = page.next;
  } while (next !== undefined);
}

/** Several sequences in order as one, each read only as far as it is needed. */
export async function* merged<Value>(
  sources: readonly AsyncGenerator<Row<Value>, void, undefined>[],
): AsyncGenerator<Row<Value>, void, undefined> {
  const heads = await Promise.all(sources.map((source) => source.next()));
  while (true) {
    let first: number | undefined;
    for (const [index, { done, value }] of heads.entries()) {
      if (done || !value) continue;
      const best = first === undefined ? undefined : heads[first]?.value;
      if (!best || value.sort < best.sort) first = index;
    }
    if (first === undefined) return;
    const { value } = heads[first]!;
    if (value) yield value;
    heads[first] = await sources[first]!.next();
  }
}

/** Up to that many of the next ones. */
export async function take<Item>(source: AsyncGenerator<Item, void, undefined>, count: number): Promise<Item[]> {
  const items: Item[] = [];
  while (items.length < count) {
    const { done, value } = await source.next();
    if (done) break;
    items.push(value);
  }
  return items;
}
