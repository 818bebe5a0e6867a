import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { MillraceError } from "../runtime/errors.ts";
import type { BucketReader } from "../runtime/ports.ts";
import { DamagedMember, type Line, type Member, membersIn, unpack } from "../shared/archive/member.ts";
import { applicationPrefix, hourPrefix, parseFileName, parseKey } from "../shared/archive/places.ts";

/** Where an archive lies. */
export interface ArchivePlace {
  readonly bucket: Pick<BucketReader, "bucket" | "list" | "stream">;
  /** What its keys begin with. */
  readonly prefix: string;
  /** The folder of its volume. @default it is not reached from here */
  readonly volume?: string;
}

/** Which lines are wanted. */
export interface LineQuery {
  /** What stands for the application in keys and paths. */
  readonly folder: string;
  /** Milliseconds since 1970: no record before it. @default from the first one on */
  readonly since?: number;
  /** Milliseconds since 1970: no record from then on. @default up to the last one */
  readonly until?: number;
}

/** A record of an archive. */
export interface ArchivedLine extends Line {
  readonly stream: string;
  readonly partition: number;
}

/** Records say what time they like: one that is ahead of the clock by more than that is found without `since` alone. */
const AHEAD = 3_600_000;

/**
 * The lines of one application, from the bucket and then from the volume, each once: in the order of their time as far
 * as each partition's own order lets it, and hour by hour as they were archived. No more is held than a member of each
 * file that is read at once.
 *
 * @throws `failed` if an object is not what was uploaded
 */
export async function* archivedLines(
  place: ArchivePlace,
  query: LineQuery,
): AsyncGenerator<ArchivedLine, void, undefined> {
  // Before the bucket: what is uploaded meanwhile is then in one of the two.
  const waiting = new Set(place.volume === undefined ? [] : await namesIn(join(place.volume, query.folder)));
  const seen = new Seen(waiting.size > 0);
  for await (const keys of hoursOf(place, query, (file) => waiting.delete(file))) {
    yield* merged(bySlot(keys, parseKey).map((files) => inBucket(place, query, files, seen)));
  }
  const gone: string[] = [];
  const onVolume = bySlot([...waiting].sort(), (name) => ({ file: name }));
  yield* merged(onVolume.map((files) => fromVolume(place.volume!, query, files, seen, gone)));
  if (gone.length === 0) return;
  for await (const keys of hoursOf(place, query, () => {})) {
    const uploaded = keys.filter((key) => gone.includes(parseKey(key)!.file));
    yield* merged(bySlot(uploaded, parseKey).map((files) => inBucket(place, query, files, seen)));
  }
}

/**
 * What stands for the applications of an archive, in the order of their keys.
 *
 * @param most no more than so many are looked for
 */
export async function applicationFolders(
  { bucket, prefix, volume }: ArchivePlace,
  most: number,
): Promise<readonly string[]> {
  const found = new Set(volume === undefined ? [] : await entriesOf(volume));
  const begin = `${prefix}app=`;
  for (let after = begin; found.size < most; ) {
    const { objects } = await bucket.list({ prefix: begin, after, limit: 1 });
    if (objects.length === 0) break;
    const [folder] = objects[0]!.key.slice(begin.length).split("/") as [string];
    found.add(folder);
    after = `${begin}${folder}0`; // behind all that begins with the folder and "/"
  }
  return [...found].sort().slice(0, most);
}

const namesIn = async (folder: string): Promise<readonly string[]> =>
  (await entriesOf(folder)).filter((name) => parseFileName(name));

const entriesOf = (folder: string): Promise<readonly string[]> =>
  readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });

/** The keys of the files that may have what is wanted, an hour's at a time. */
async function* hoursOf(
  { bucket, prefix }: ArchivePlace,
  { folder, since, until = Number.POSITIVE_INFINITY }: LineQuery,
  onFile: (file: string) => void,
): AsyncGenerator<readonly string[], void, undefined> {
  let [hour, keys] = ["", [] as string[]];
  let after = since === undefined ? undefined : hourPrefix(prefix, folder, Math.max(0, since - AHEAD));
  for (;;) {
    const page = await bucket.list({
      prefix: applicationPrefix(prefix, folder),
      ...(after !== undefined && { after }),
    });
    for (const { key } of page.objects) {
      const found = parseKey(key);
      if (!found) continue;
      onFile(found.file);
      if (found.latest < (since ?? Number.NEGATIVE_INFINITY) || found.earliest >= until) continue;
      const next = key.slice(0, key.lastIndexOf("/"));
      if (next !== hour && keys.length > 0) {
        yield keys;
        keys = [];
      }
      hour = next;
      keys.push(key);
    }
    if (page.next === undefined) break;
    after = page.next;
  }
  if (keys.length > 0) yield keys;
}

/** What has the same slot follows each other; slots have partitions of their own. */
function bySlot(
  names: readonly string[],
  parse: (name: string) => { readonly file: string } | undefined,
): readonly (readonly string[])[] {
  const slots = new Map<number, string[]>();
  for (const name of names) {
    const { slot } = parseFileName(parse(name)!.file)!;
    slots.set(slot, [...(slots.get(slot) ?? []), name]);
  }
  return [...slots.values()];
}

type Batches = AsyncGenerator<readonly ArchivedLine[], void, undefined>;

async function* inBucket({ bucket }: ArchivePlace, query: LineQuery, keys: readonly string[], seen: Seen): Batches {
  for (const key of keys) {
    try {
      yield* wanted(membersIn(await bucket.stream(key)), query, parseKey(key)!.file, seen);
    } catch (error) {
      if (!(error instanceof DamagedMember)) throw error;
      throw new MillraceError("failed", `object "${key}" of ${bucket.bucket} is damaged: ${error.message}`);
    }
  }
}

/** What lies behind the last whole member was never acknowledged, and comes in another file. */
async function* fromVolume(
  volume: string,
  query: LineQuery,
  names: readonly string[],
  seen: Seen,
  gone: string[],
): Batches {
  for (const name of names) {
    try {
      yield* wanted(membersIn(createReadStream(join(volume, query.folder, name))), query, name, seen);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") gone.push(name);
      else if (!(error instanceof DamagedMember)) throw error;
    }
  }
}

/** Members whose time is another one are not even inflated. */
async function* wanted(
  members: AsyncIterable<Member>,
  { since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY }: LineQuery,
  file: string,
  seen: Seen,
): Batches {
  for await (const { head, bytes } of members) {
    const { stream, partition } = head;
    const isNew = seen.add(`${stream}\0${partition}`, head.first, head.last, file);
    if (head.latest < since || head.earliest >= until) continue;
    yield unpack(bytes)
      .filter(({ offset, timestamp }) => timestamp >= since && timestamp < until && isNew(offset))
      .map((line) => ({ ...line, stream, partition }));
  }
}

/**
 * Which offsets came already. A writer that was killed, or came too late, has left on the volume what another one wrote
 * again: all of an application's records of a partition between the first and the last of a file are in that file.
 */
class Seen {
  readonly #isNeeded: boolean;
  readonly #spans = new Map<string, Map<string, { first: number; last: number }>>();

  constructor(isNeeded: boolean) {
    this.#isNeeded = isNeeded;
  }

  /** Whether an offset of what is added came in no other file. */
  add(partition: string, first: number, last: number, file: string): (offset: number) => boolean {
    if (!this.#isNeeded) return () => true;
    const spans = this.#spans.get(partition) ?? new Map<string, { first: number; last: number }>();
    this.#spans.set(partition, spans);
    const others = [...spans].filter(([name, span]) => name !== file && span.last >= first && span.first <= last);
    const own = spans.get(file);
    spans.set(file, { first: Math.min(own?.first ?? first, first), last: Math.max(own?.last ?? last, last) });
    return (offset) => others.every(([, span]) => offset < span.first || offset > span.last);
  }
}

/** By time, but never a line before one that lies before it in its own. */
async function* merged(all: readonly Batches[]): AsyncGenerator<ArchivedLine, void, undefined> {
  const heads: { lines: readonly ArchivedLine[]; at: number; readonly more: Batches }[] = [];
  try {
    for (const more of all) heads.push({ lines: await nextOf(more), at: 0, more });
    for (;;) {
      const open = heads.filter(({ lines }) => lines.length > 0);
      if (open.length === 0) return;
      const next = open.reduce((one, other) => (timeOf(other) < timeOf(one) ? other : one));
      yield next.lines[next.at]!;
      next.at += 1;
      if (next.at === next.lines.length) [next.lines, next.at] = [await nextOf(next.more), 0];
    }
  } finally {
    // Who has enough lets go of what is open.
    await Promise.all(all.map((more) => more.return()));
  }
}

const timeOf = ({ lines, at }: { readonly lines: readonly ArchivedLine[]; readonly at: number }): number =>
  lines[at]!.timestamp;

/** The next lines; none: there are no more. */
async function nextOf(more: Batches): Promise<readonly ArchivedLine[]> {
  for (;;) {
    const { done, value } = await more.next();
    if (done) return [];
    if (value.length > 0) return value;
  }
}
