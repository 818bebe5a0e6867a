import type { Readable } from "node:stream";

/** A body in pieces, in order: those of a file are read when their turn comes, those of a stream as it flows. */
export type Pieces = Iterable<() => Promise<Uint8Array>> | AsyncIterable<Uint8Array>;

/**
 * Hands each piece on, with its number from 0, that many at once. Nothing is under way any more when it ends, with the
 * first failure too.
 *
 * @param giveUp called at the first failure: a source that may be slow is to end then. @default nothing to be done
 */
export async function inTurn(
  pieces: Pieces,
  atOnce: number,
  hand: (index: number, piece: Uint8Array) => Promise<void>,
  giveUp: () => void = () => {},
): Promise<void> {
  const iterator = Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]();
  const failures: unknown[] = [];
  let index = -1;
  let turn: Promise<unknown> = Promise.resolve();
  const take = (): Promise<readonly [number, Uint8Array | (() => Promise<Uint8Array>)] | undefined> => {
    const next = turn.then(async () => {
      if (failures.length > 0) return undefined;
      const { done, value } = await iterator.next();
      if (done) return undefined;
      index += 1;
      return [index, value] as const;
    });
    turn = next.catch(() => {});
    return next;
  };
  const work = async () => {
    for (let next = await take(); next && failures.length === 0; next = await take()) {
      const [at, piece] = next;
      await hand(at, typeof piece === "function" ? await piece() : piece);
    }
  };
  const failed = (error: unknown) => {
    if (failures.push(error) === 1) giveUp();
  };
  await Promise.all(Array.from({ length: atOnce }, () => work().catch(failed)));
  if (failures.length === 0) return;
  await iterator.return?.();
  throw failures[0];
}

/** A body in pieces of that size. */
export function* slices(body: Uint8Array, size: number): Generator<() => Promise<Uint8Array>> {
  for (let from = 0; from < body.byteLength; from += size) yield async () => body.subarray(from, from + size);
}

/**
 * A stream in pieces of that size; the last one may be shorter. The stream is destroyed at the end, whatever it was.
 *
 * @throws what the stream fails with; the signal's reason, also while the stream has nothing to say.
 */
export async function* inPieces(
  stream: Readable,
  size: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, undefined> {
  let chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunksOf(stream, signal)) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    chunks.push(bytes);
    length += bytes.byteLength;
    if (length < size) continue;
    const all = Buffer.concat(chunks);
    for (; length >= size; length -= size) yield all.subarray(all.length - length, all.length - length + size);
    chunks = [all.subarray(all.length - length)];
  }
  if (length > 0) yield Buffer.concat(chunks);
  return undefined;
}

/** Not `addAbortSignal`: a stream over a generator ends only when that one says something. */
async function* chunksOf(stream: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array | string, undefined> {
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array | string, undefined>;
  let abort = (): void => {};
  const next = () =>
    new Promise<IteratorResult<Uint8Array | string, undefined>>((resolve, reject) => {
      abort = () => reject(signal.reason);
      if (signal.aborted) abort();
      else chunks.next().then(resolve, reject);
    });
  const onAbort = () => abort();
  signal.addEventListener("abort", onAbort);
  try {
    for (let chunk = await next(); !chunk.done; chunk = await next()) yield chunk.value;
    return undefined;
  } finally {
    signal.removeEventListener("abort", onAbort);
    stream.once("error", () => {}); // nobody waits for its end any more
    stream.destroy();
  }
}

/** The first of them once more, and then the others. */
export async function* following<Piece>(
  first: readonly Piece[],
  rest: AsyncIterable<Piece>,
): AsyncGenerator<Piece, undefined> {
  yield* first;
  yield* rest;
  return undefined;
}
