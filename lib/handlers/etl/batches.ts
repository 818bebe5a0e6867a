import type { StreamRecord } from "../../runtime/events.ts";

/** Bytes of keys and values that are worked on at once. */
const PORTION = 8 * 2 ** 20;

const sizeOf = ({ key, value }: StreamRecord): number => (key?.byteLength ?? 0) + (value?.byteLength ?? 0);

/** Records in groups that memory holds with all that comes of them; a larger record is alone. */
export function* portions(records: readonly StreamRecord[]): Generator<readonly StreamRecord[], void> {
  let [some, size]: [StreamRecord[], number] = [[], 0];
  for (const record of records) {
    const more = sizeOf(record);
    if (size + more > PORTION && some.length > 0) {
      yield some;
      [some, size] = [[], 0];
    }
    some.push(record);
    size += more;
  }
  if (some.length > 0) yield some;
}

/** Items by what is said of them, in the order of each; `Map.groupBy` is not everywhere yet. */
export function grouped<Item, Name>(items: Iterable<Item>, nameOf: (item: Item) => Name): Map<Name, Item[]> {
  const groups = new Map<Name, Item[]>();
  for (const item of items) {
    const name = nameOf(item);
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return groups;
}
