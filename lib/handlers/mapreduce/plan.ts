import { MillraceError } from "../../runtime/errors.ts";
import type { BucketReader, BucketWriter } from "../../runtime/ports.ts";
import type { Piece } from "./records.ts";

/** What a run reads, cut into shards: written once, by the first splitter that comes so far. */
export interface InputPlan {
  readonly objects: number;
  /** Bytes. */
  readonly size: number;
  /** Each is one mapper's: pieces of one large object or of many small ones. */
  readonly shards: readonly (readonly Piece[])[];
}

/** Shards with a piece of an object that goes on in the next one. */
export const cutShards = ({ shards }: InputPlan): readonly number[] =>
  shards.flatMap((pieces, shard) => (pieces.some(({ to, size }) => to < size) ? [shard] : []));

/** An object as JSON. @throws `not-found` if there is none */
export const readJson = async <Value>(reader: Pick<BucketReader, "get">, key: string): Promise<Value> =>
  JSON.parse(new TextDecoder().decode(await reader.get(key))) as Value;

/** An object as JSON, or nothing. */
export async function findJson<Value>(reader: Pick<BucketReader, "get">, key: string): Promise<Value | undefined> {
  try {
    return await readJson<Value>(reader, key);
  } catch (error) {
    if (error instanceof MillraceError && error.kind === "not-found") return undefined;
    throw error;
  }
}

/** Writes what only one attempt may: answers what another one has written before, if one has. */
export async function commitJson<Value>(
  bucket: Pick<BucketReader & BucketWriter, "get" | "put">,
  key: string,
  value: Value,
): Promise<Value> {
  try {
    await bucket.put(key, JSON.stringify(value), { contentType: "application/json", ifNoneMatch: "*" });
    return value;
  } catch (error) {
    if (!(error instanceof MillraceError && error.kind === "conflict")) throw error;
    return readJson<Value>(bucket, key);
  }
}

/** Does something for all of them, so many at once; the answers are in their order. */
export async function eachOf<Item, Result>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<Result>,
  atOnce = 16,
): Promise<readonly Result[]> {
  const results: Result[] = new Array(items.length);
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index]!, index);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}
