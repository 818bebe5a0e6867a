import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { MillraceError } from "../../runtime/errors.ts";
import type { BucketReader } from "../../runtime/ports.ts";

/** A part of an object: the records that start in it are its own, wherever they end. */
export interface Piece {
  readonly key: string;
  /** The object's content when the run began; another one is refused. */
  readonly etag: string;
  /** The object's bytes. */
  readonly size: number;
  /** First byte, and the one after the last. A compressed object is one piece. */
  readonly from: number;
  readonly to: number;
  /** Of Parquet: its first row group, and the one after the last. */
  readonly groups?: readonly [first: number, end: number];
}

/** Whole records as they lie in the object, one after the other. */
export interface Batch {
  /** Of the first byte in the object; of what it holds, where it is compressed. */
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Finds where records end. It is shown an object's bytes in their order, none left out and none twice. */
export interface Framer {
  /** Behind the first record that ends in these bytes; 0 if none does. What follows is shown again. */
  first(bytes: Uint8Array): number;
  /** Behind the last record that ends in these bytes; 0 if none does. */
  last(bytes: Uint8Array): number;
  /** Whether a record starts where the piece does; `undefined` if the byte before it says so. */
  readonly startsRecord: boolean | undefined;
}

export interface ReadOptions {
  readonly signal: AbortSignal;
  /** Bytes read at once. @default 1 MiB */
  readonly block?: number;
}

const BLOCK = 2 ** 20;
/** Most records that a border cuts end within it. */
const FIRST_OVER_READ = 64 * 2 ** 10;

/** Whether an object can only be read from its start. */
export const isCompressed = (key: string): boolean => key.endsWith(".gz");

/**
 * The records that start in a piece, each once over all pieces of an object, however it is cut. Memory holds a few
 * blocks and the longest record.
 *
 * @throws `bad-input` if the object is another one by now
 */
export async function* batches(
  reader: Pick<BucketReader, "get" | "stream">,
  piece: Piece,
  framer: Framer,
  options: ReadOptions,
): AsyncGenerator<Batch, void> {
  const object = pinned(reader, piece, options);
  if (isCompressed(piece.key)) {
    const { offset, tail } = yield* wholeRecords(inflated(await object.stream(), piece.key), 0, framer);
    if (tail.length > 0) yield { offset, bytes: Buffer.concat(tail) };
    return;
  }
  const start = await firstRecord(object, piece, framer);
  if (start === undefined) return;
  const { offset, tail } = yield* wholeRecords(follow(start.rest, start.chunks), start.at, framer);
  if (tail.length > 0) yield { offset, bytes: Buffer.concat([...tail, ...(await restOf(object, piece, framer))]) };
}

/** How the bytes of a piece are found without reading them. */
export interface Borders {
  /** Where the piece begins and, unless that is the object's end, where the next one does. */
  readonly from: Framer;
  readonly to: Framer;
}

/**
 * The bytes of all records that start in a piece, in which nothing but its borders is looked at.
 *
 * @throws `bad-input` if the object is another one by now
 */
export async function* rawRecords(
  reader: Pick<BucketReader, "get" | "stream">,
  piece: Piece,
  framers: Borders,
  options: ReadOptions,
): AsyncGenerator<Buffer, void> {
  const object = pinned(reader, piece, options);
  if (isCompressed(piece.key)) return yield* inflated(await object.stream(), piece.key);
  const nearBorder = { ...object, block: FIRST_OVER_READ };
  const start = await firstRecord(nearBorder, piece, framers.from);
  if (start === undefined) return;
  const behind = { ...piece, from: piece.to, to: piece.size };
  const end = await firstRecord(nearBorder, behind, framers.to);
  yield* blocks(object, start.at, end?.at ?? piece.size);
}

/** An object read as it was when the run began. */
export interface PinnedObject {
  readonly block: number;
  get(from: number, to: number): Promise<Buffer>;
  stream(): Promise<Readable>;
}

export function pinned(
  reader: Pick<BucketReader, "get" | "stream">,
  { key, etag }: Piece,
  { signal, block = BLOCK }: ReadOptions,
): PinnedObject {
  const checked = <Result>(read: () => Promise<Result>): Promise<Result> => {
    signal.throwIfAborted();
    return unchanged(key, read);
  };
  return {
    block,
    get: (from, to) =>
      checked(async () => {
        const bytes = await reader.get(key, { range: [from, to - 1], ifMatch: etag });
        if (bytes.length !== to - from) {
          throw new MillraceError("unavailable", `${key}: ${to - from} bytes were asked for, ${bytes.length} came`);
        }
        return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      }),
    stream: () => checked(() => reader.stream(key, { ifMatch: etag })),
  };
}

/** Reads what the run began with. @throws `bad-input` if it is another one by now */
export async function unchanged<Result>(key: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    const isOther = error instanceof MillraceError && (error.kind === "conflict" || error.kind === "not-found");
    // No retry brings back what the run began with.
    throw isOther ? new MillraceError("bad-input", `${key} changed while the run read it`, { cause: error }) : error;
  }
}

/** Where the piece's first record starts, with what was read behind it; nothing if none starts in it. */
async function firstRecord(object: PinnedObject, { from, to }: Piece, framer: Framer) {
  if (from >= to) return undefined;
  if (from === 0 || framer.startsRecord === true) {
    return { at: from, rest: Buffer.alloc(0), chunks: blocks(object, from, to) };
  }
  let at = framer.startsRecord === undefined ? from - 1 : from;
  const chunks = blocks(object, at, to);
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    const end = framer.first(next.value);
    if (end > 0) return at + end < to ? { at: at + end, rest: next.value.subarray(end), chunks } : undefined;
    at += next.value.length;
  }
  return undefined;
}

/** The next block is under way while one is worked on. */
async function* blocks(object: PinnedObject, from: number, to: number): AsyncGenerator<Buffer, void> {
  const read = (at: number) => {
    const bytes = object.get(at, Math.min(at + object.block, to));
    bytes.catch(() => {}); // it is told of when its turn comes
    return bytes;
  };
  let next = read(from);
  for (let at = from; at < to; at += object.block) {
    const bytes = await next;
    if (at + object.block < to) next = read(at + object.block);
    yield bytes;
  }
}

async function* follow(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  if (first.length > 0) yield first;
  yield* rest;
}

interface Unfinished {
  readonly offset: number;
  readonly tail: readonly Buffer[];
}

/** What has ended in the chunks, and what has only begun. */
async function* wholeRecords(
  chunks: AsyncIterable<Buffer>,
  at: number,
  framer: Framer,
): AsyncGenerator<Batch, Unfinished> {
  let offset = at;
  let tail: Buffer[] = [];
  for await (const chunk of chunks) {
    const end = framer.last(chunk);
    if (end === 0) {
      tail.push(chunk);
      continue;
    }
    const ended = chunk.subarray(0, end);
    const bytes = tail.length > 0 ? Buffer.concat([...tail, ended]) : ended;
    yield { offset, bytes };
    offset += bytes.length;
    tail = end < chunk.length ? [chunk.subarray(end)] : [];
  }
  return { offset, tail };
}

/** What the piece's last record has behind the piece: more and more is read until it ends. */
async function restOf(object: PinnedObject, { to, size }: Piece, framer: Framer): Promise<readonly Buffer[]> {
  const rest: Buffer[] = [];
  let length = Math.min(FIRST_OVER_READ, object.block);
  for (let at = to; at < size; ) {
    const bytes = await object.get(at, Math.min(at + length, size));
    const end = framer.first(bytes);
    rest.push(end > 0 ? bytes.subarray(0, end) : bytes);
    if (end > 0) break;
    at += bytes.length;
    length = Math.min(length * 2, object.block);
  }
  return rest;
}

async function* inflated(stream: Readable, key: string): AsyncGenerator<Buffer, void> {
  const gunzip = createGunzip({ chunkSize: 2 ** 20 });
  stream.once("error", (error) => gunzip.destroy(error));
  try {
    for await (const chunk of stream.pipe(gunzip)) yield chunk as Buffer;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!/^Z_/.test(code)) throw error;
    throw new MillraceError("bad-input", `${key} is no whole gzip file: ${(error as Error).message}`, { cause: error });
  } finally {
    stream.destroy();
    gunzip.destroy();
  }
}
