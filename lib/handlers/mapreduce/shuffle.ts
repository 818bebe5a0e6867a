import * as zlib from "node:zlib";
import { MillraceError } from "../../runtime/errors.ts";
import type { BucketReader } from "../../runtime/ports.ts";

/**
 * How pairs lie between mappers and reducers. A run is a list of pairs of one partition, sorted by key (by UTF-16 units,
 * as `<` compares), in blocks that are compressed each for itself: four bytes of length, then the block. Inside, a line
 * is a key as JSON, a number of values, and they as JSON with commas between them, behind tabs; a key may have several
 * lines.
 */

/** Bytes in an object. */
export type Run = readonly [offset: number, length: number];

/** `zstd` where the runtime has it, which is faster and smaller. https://nodejs.org/api/zlib.html#zstd */
export type Codec = "zstd" | "gzip";

/** How a run lies in its object; rows of a mapper in SQL that go to a reducer in SQL are a file of Parquet. */
export type RunCodec = Codec | "parquet";

export const codecHere = (): Codec => ("zstdCompressSync" in zlib ? "zstd" : "gzip");

/** What is compressed at once, in characters. */
const BLOCK = 128 * 2 ** 10;
/** Longest line; more values of a key go into the next one. */
const LINE = 64 * 2 ** 10;

function compress(codec: Codec, text: string): Buffer {
  const { ZSTD_c_compressionLevel: level, ZSTD_c_checksumFlag: checksum } = zlib.constants;
  return codec === "zstd"
    ? zlib.zstdCompressSync(text, { params: { [level]: 1, [checksum]: 1 } })
    : zlib.gzipSync(text, { level: 1 });
}

function decompress(codec: RunCodec, bytes: Uint8Array, object: string): string {
  try {
    return (codec === "zstd" ? zlib.zstdDecompressSync(bytes) : zlib.gunzipSync(bytes)).toString("utf8");
  } catch (error) {
    throw new MillraceError("failed", `${object} is damaged: ${(error as Error).message}`, { cause: error });
  }
}

/** FNV-1a over a key's UTF-16 units, mixed once more for the low bits: 32 bits, with a sign. */
export function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}

/** Which partition a key belongs to. */
export const partitionOf = (key: string, partitions: number): number => (hashOf(key) >>> 0) % partitions;

/** Writes runs one behind the other: what it yields is the object. */
export class RunWriter {
  readonly codec: Codec;
  #offset = 0;

  constructor(codec: Codec) {
    this.codec = codec;
  }

  /** @param lines sorted by key */
  *write(lines: Iterable<string>): Generator<Buffer, Run> {
    const start = this.#offset;
    let block = "";
    for (const line of lines) {
      block += line;
      if (block.length < BLOCK) continue;
      yield this.#framed(block);
      block = "";
    }
    if (block !== "") yield this.#framed(block);
    return [start, this.#offset - start];
  }

  #framed(block: string): Buffer {
    const body = compress(this.codec, block);
    const framed = Buffer.allocUnsafe(4 + body.length);
    framed.writeUInt32BE(body.length);
    body.copy(framed, 4);
    this.#offset += framed.length;
    return framed;
  }
}

/** Some values of a key. */
export interface Values {
  /** With commas between them. */
  readonly json: string;
  readonly count: number;
}

export const lineOf = (key: string, { json, count }: Values): string => `${JSON.stringify(key)}\t${count}\t${json}\n`;

/** The lines of a key. @param values each as JSON */
export function* linesOf(key: string, values: readonly string[]): Generator<string, void> {
  let [json, count] = ["", 0];
  for (const value of values) {
    json += count === 0 ? value : `,${value}`;
    count += 1;
    if (json.length < LINE) continue;
    yield lineOf(key, { json, count });
    [json, count] = ["", 0];
  }
  if (count > 0) yield lineOf(key, { json, count });
}

/** A run in its object. */
export interface RunPlace {
  readonly object: string;
  readonly etag: string;
  readonly codec: RunCodec;
  readonly run: Run;
}

/** One of the runs that are merged, at its current line. */
export class RunCursor {
  key = "";
  /** The line's values, as JSON with commas between them, and how many they are. */
  values = "";
  count = 0;
  readonly #blocks: AsyncGenerator<string, void>;
  #block = "";
  #at = 0;

  /** @param chunk bytes read at once */
  constructor(reader: Pick<BucketReader, "get">, place: RunPlace, chunk: number, signal: AbortSignal) {
    this.#blocks = blocksOf(reader, place, chunk, signal);
  }

  /** The next line of the block at hand; false if there is none. */
  advance(): boolean {
    if (this.#at >= this.#block.length) return false;
    const tab = this.#block.indexOf("\t", this.#at);
    const second = this.#block.indexOf("\t", tab + 1);
    const end = this.#block.indexOf("\n", second);
    const quoted = this.#block.slice(this.#at, tab);
    this.key = quoted.includes("\\") ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
    this.count = Number(this.#block.slice(tab + 1, second));
    this.values = this.#block.slice(second + 1, end);
    this.#at = end + 1;
    return true;
  }

  /** The first line of the next block; false at the run's end. */
  async fill(): Promise<boolean> {
    const next = await this.#blocks.next();
    if (next.done) return false;
    [this.#block, this.#at] = [next.value, 0];
    return this.advance();
  }
}

async function* blocksOf(
  reader: Pick<BucketReader, "get">,
  { object, etag, codec, run: [offset, length] }: RunPlace,
  chunk: number,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  let at = offset;
  let held = Buffer.alloc(0);
  const end = offset + length;
  const need = async (bytes: number) => {
    if (held.length >= bytes) return;
    signal.throwIfAborted();
    const last = Math.min(at + Math.max(chunk, bytes - held.length), end);
    if (last - at < bytes - held.length) throw new MillraceError("failed", `${object} is damaged: a block is cut off`);
    const more = await reader.get(object, { range: [at, last - 1], ifMatch: etag });
    held = Buffer.concat([held, more]);
    at = last;
  };
  while (at < end || held.length > 0) {
    await need(4);
    const size = held.readUInt32BE();
    await need(4 + size);
    yield decompress(codec, held.subarray(4, 4 + size), object);
    held = held.subarray(4 + size);
  }
}
