/** A pair for every word of a line. */
export function* mapper(line: string): Generator<readonly [word: string, count: number]> {
  for (const word of line.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) yield [word, 1];
}

export { combiner, reducer } from "./counts.ts";
