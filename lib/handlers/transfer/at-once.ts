/**
 * Does the work for every item, that many at once; the results in the items' order. With the first failure nothing new
 * is begun, and it is thrown when nothing is under way any more.
 */
export async function atOnce<Item, Result>(
  most: number,
  items: Iterable<Item>,
  work: (item: Item, lane: number) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  const failures: unknown[] = [];
  const iterator = items[Symbol.iterator]();
  let index = -1;
  const lane = async (number: number) => {
    for (let next = iterator.next(); !next.done && failures.length === 0; next = iterator.next()) {
      index += 1;
      const at = index;
      results[at] = await work(next.value, number);
    }
  };
  await Promise.all(Array.from({ length: most }, (_, number) => lane(number).catch((error) => failures.push(error))));
  if (failures.length > 0) throw failures[0];
  return results;
}
