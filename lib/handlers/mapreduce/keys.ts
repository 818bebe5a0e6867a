import type { OutputFormat } from "../../shared/mapreduce/format.ts";

/**
 * Where a run keeps what. All lies under the run's id, so that two runs never meet; what an attempt writes has a name
 * of its own, and counts once a manifest, which only one attempt can write, names it.
 */
export const keysOf = (run: string) => {
  const home = `${run}/`;
  return {
    home,
    plan: `${home}plan.json`,
    /** How states of CSV lead through a shard's pieces. */
    scan: (shard: number) => `${home}scan/${digits(shard)}.json`,
    /** In which state each piece of CSV begins. */
    borders: `${home}borders.json`,
    /** Pairs of a mapper's attempt. */
    pairs: (shard: number, attempt: string) => `${home}map/${digits(shard)}/${attempt}`,
    mapped: (shard: number) => `${home}mapped/${digits(shard)}.json`,
    /** What mappers have for a reducer. */
    partition: (partition: number) => `${home}partition/${digits(partition)}.json`,
    gathered: `${home}gathered.json`,
    /** Pairs of a reducer's attempt that were merged before. */
    merged: (partition: number, attempt: string, index: number) =>
      `${home}merge/${digits(partition)}/${attempt}-${digits(index)}`,
    reduced: (partition: number) => `${home}reduced/${digits(partition)}.json`,
  };
};

/** What a run comes to, in the outputs bucket. */
export const outputsOf = (prefix: string, run: string) => ({
  part: (partition: number, format: OutputFormat = "jsonl") => `${prefix}${run}/part-${digits(partition)}.${format}`,
  manifest: `${prefix}${run}/manifest.json`,
});

const digits = (number: number): string => String(number).padStart(5, "0");
