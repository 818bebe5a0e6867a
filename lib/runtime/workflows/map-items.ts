import { MillraceError } from "../errors.ts";

/**
 * The items of a map.
 *
 * @throws `bad-input` for what is no list, `refused` for too long a list
 */
export function mapItems(list: unknown, atMost: number): readonly unknown[] {
  if (!Array.isArray(list)) throw new MillraceError("bad-input", `a map takes a list of items, got ${kindOf(list)}`);
  if (list.length > atMost) {
    throw new MillraceError("refused", `the map is given ${list.length} items, and takes at most ${atMost}`);
  }
  return list;
}

const kindOf = (value: unknown): string => (value === null || value === undefined ? "nothing" : `a ${typeof value}`);
