import type { Clock } from "../../../runtime/clock.ts";
import type { MillraceError } from "../../../runtime/errors.ts";
import type { BucketCreated } from "../../../runtime/events.ts";
import type { BucketReader, ObjectInfo, TableReader, TableWriter } from "../../../runtime/ports.ts";

/** How new objects are found where a store tells nobody of them. */
export interface ListingWorld {
  readonly bucket: BucketReader;
  /** Of what has been seen: the bucket's name, a key, and what the object was like. */
  readonly journal: TableReader & TableWriter;
  readonly prefix: string;
  readonly suffix: string;
  /** Milliseconds since 1970: what is older is not told of. */
  readonly since: number;
  readonly clock: Clock;
  /** Ends the look, with its reason. */
  readonly signal: AbortSignal;
  /** Answers once the event cannot get lost any more. One that was told of already has the same id. */
  tell(event: BucketCreated): Promise<void>;
}

/** Milliseconds after which a look is taken for dead. */
const LEASE = 600_000;
/** No bucket's name: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const LEASES = "$leases";
/** Events that are told at once. */
const AT_ONCE = 16;

/**
 * Compares a bucket with what was seen of it before, and tells of what is new or has changed. The journal is in memory
 * while that lasts. An event is told before it is journaled: a kill between the two tells of it again. Somebody else's
 * look at the same bucket is not disturbed.
 *
 * @returns how many events were told; nothing if somebody else is looking.
 */
export async function findCreated(world: ListingWorld): Promise<number | undefined> {
  const { bucket, journal, clock } = world;
  const lease = await take(journal, bucket.bucket, clock.now() + LEASE);
  if (lease === undefined) return undefined;
  try {
    return await compare(world);
  } finally {
    // One that has expired may be another's by now.
    await journal.remove(LEASES, bucket.bucket, { ifVersion: lease }).catch(() => {});
  }
}

async function take(journal: TableWriter, bucket: string, expires: number): Promise<string | undefined> {
  try {
    return await journal.put(LEASES, bucket, null, { ifVersion: "absent", expires });
  } catch (error) {
    if ((error as MillraceError).kind === "conflict") return undefined;
    throw error;
  }
}

async function compare(world: ListingWorld): Promise<number> {
  const { bucket, journal, suffix, since, signal } = world;
  const seen = await seenIn(world);
  let told = 0;
  for await (const objects of pagesOf(world)) {
    const fresh = objects.filter((object) => {
      const before = seen.get(object.key);
      seen.delete(object.key);
      return object.key.endsWith(suffix) && before !== stateOf(object) && Date.parse(object.modified) >= since;
    });
    for (let from = 0; from < fresh.length; from += AT_ONCE) {
      signal.throwIfAborted();
      await Promise.all(fresh.slice(from, from + AT_ONCE).map((object) => found(world, object)));
    }
    told += fresh.length;
  }
  // What is there no more is forgotten, so that the journal does not grow for ever.
  for (const key of seen.keys()) await journal.remove(bucket.bucket, key);
  return told;
}

async function found({ bucket, journal, tell }: ListingWorld, object: ObjectInfo): Promise<void> {
  const { key, etag, size, modified } = object;
  const id = `${bucket.bucket}/${key}/${stateOf(object)}`;
  await tell({ type: "bucket.created", id, bucket: bucket.bucket, key, etag, size, time: modified });
  await journal.put(bucket.bucket, key, stateOf(object));
}

/** The same content put again is another object. */
const stateOf = ({ etag, modified }: ObjectInfo): string => `${etag}/${modified}`;

/** What was seen under the prefix: the rest of the bucket may be another source's of the same function. */
async function seenIn({ bucket, journal, prefix, signal }: ListingWorld): Promise<Map<string, string>> {
  const seen = new Map<string, string>();
  let after: string | undefined;
  do {
    signal.throwIfAborted();
    const page = await journal.query<string>(bucket.bucket, { prefix, ...(after !== undefined && { after }) });
    for (const { sort, value } of page.rows) seen.set(sort, value);
    after = page.next;
  } while (after !== undefined);
  return seen;
}

async function* pagesOf({ bucket, prefix, signal }: ListingWorld): AsyncGenerator<readonly ObjectInfo[]> {
  let after: string | undefined;
  do {
    signal.throwIfAborted();
    const page = await bucket.list({ prefix, ...(after !== undefined && { after }) });
    yield page.objects;
    after = page.next;
  } while (after !== undefined);
}
