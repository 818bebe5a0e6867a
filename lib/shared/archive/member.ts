import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { crc32 } from "./crc32.ts";

/** What files are compressed with: `gzip` is read by everything, `zstd` is faster and wants Node 22.15. */
export type Codec = "gzip" | "zstd";

export interface Compression {
  readonly codec: Codec;
  readonly level: number;
}

/** Whether this Node has it. https://nodejs.org/api/zlib.html#zlibzstdcompressbuffer-options-callback */
export const isKnown = (codec: Codec): boolean => codec === "gzip" || "zstdCompress" in zlib;

/** A record of a stream, as an archive keeps it. */
export interface Line {
  readonly offset: number;
  /** Milliseconds since 1970; what is beyond 2^51 is kept as that. */
  readonly timestamp: number;
  /** As it was received. A record without a value is an empty line. */
  readonly value: Uint8Array;
}

/** What is known of a member without inflating it. */
export interface MemberHead {
  readonly codec: Codec;
  /** Of the whole member, in the file. */
  readonly bytes: number;
  /** Of what it inflates to. */
  readonly contentBytes: number;
  readonly records: number;
  readonly stream: string;
  readonly partition: number;
  /** Offsets of the first and the last record. */
  readonly first: number;
  readonly last: number;
  /** The least and the greatest timestamp, milliseconds since 1970. */
  readonly earliest: number;
  readonly latest: number;
}

/** Part of a file: records of one partition, in their order, that were appended at once. */
export interface Member {
  readonly head: MemberHead;
  readonly bytes: Buffer;
}

/*
 * The content of a member is its records as they were received, each with a line feed behind it. Where a record ends
 * that has line feeds itself, the member's index says, with each record's offset and timestamp: so `zcat` shows what was
 * sent, byte by byte, and what reads the index tells records apart.
 *
 * In gzip, head and index are a subfield `ML` of the header's extra field, which readers skip; in zstd, a skippable
 * frame before the frame. Little-endian:
 *
 *     version u8 = 1, bytes of the member u32, of its content u32, records u32, partition u32,
 *     first offset u64, last offset u64, earliest timestamp i64, latest timestamp i64,
 *     bytes of the stream's name u16, the name in UTF-8, then deflated, as varints, for all records, one after the other:
 *     gaps between offsets, differences of timestamps (zigzag), line feeds inside
 *
 * https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1.1
 * https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2
 */
const VERSION = 1;
const HEAD_BYTES = 51;
/** An extra field has at most 65,535 bytes, four of them the subfield's own head. */
const MOST_INDEX = 65_531;
const GZIP_HEAD = 16;
const GZIP_TAIL = 8;
const SKIPPABLE = 0x184d2a5d;
const ZSTD_HEAD = 8;
/** What is held of a member before it is compressed, but for a record that is larger itself. */
const MOST_CONTENT = 8 * 2 ** 20;
const MOST_RECORDS = 16_384;
/** Content that is compressed at once, in bytes: to hand it over to another thread would take longer. */
const LITTLE = 2 ** 18;
/** Differences of two are whole numbers still when they are doubled. */
const FARTHEST_TIME = 2 ** 51;
const LINE_FEED = 10;

const deflate = promisify(zlib.deflateRaw) as (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>;

/**
 * Compresses records of one partition, in the order of their offsets, each of which is there once.
 *
 * @returns one member, or several where they would be too many for one
 */
export async function pack(
  stream: string,
  partition: number,
  lines: readonly Line[],
  compression: Compression,
): Promise<readonly Member[]> {
  const members: Member[] = [];
  for (const some of cut(lines)) members.push(...(await packSome(stream, partition, some, compression)));
  return members;
}

function* cut(lines: readonly Line[]): Generator<readonly Line[]> {
  let [from, bytes] = [0, 0];
  for (const [index, { value }] of lines.entries()) {
    const isFull = index - from >= MOST_RECORDS || bytes + value.byteLength >= MOST_CONTENT;
    if (isFull && index > from) {
      yield lines.slice(from, index);
      [from, bytes] = [index, 0];
    }
    bytes += value.byteLength + 1;
  }
  if (from < lines.length) yield lines.slice(from);
}

async function packSome(
  stream: string,
  partition: number,
  lines: readonly Line[],
  compression: Compression,
): Promise<readonly Member[]> {
  const columns = columnsOf(lines);
  const index = zlib.deflateRawSync(columns.packed, { level: 1 });
  const name = Buffer.from(stream);
  if (HEAD_BYTES + name.byteLength + index.byteLength > MOST_INDEX) {
    const half = lines.length >> 1;
    return [
      ...(await packSome(stream, partition, lines.slice(0, half), compression)),
      ...(await packSome(stream, partition, lines.slice(half), compression)),
    ];
  }
  const content = contentOf(lines);
  const body = await compress(content, compression);
  const { codec } = compression;
  const around = codec === "gzip" ? GZIP_HEAD + GZIP_TAIL : ZSTD_HEAD;
  const head: MemberHead = {
    codec,
    bytes: around + HEAD_BYTES + name.byteLength + index.byteLength + body.byteLength,
    contentBytes: content.byteLength,
    ...{ stream, partition, records: lines.length },
    first: lines[0]!.offset,
    last: lines.at(-1)!.offset,
    ...{ earliest: columns.earliest, latest: columns.latest },
  };
  const parts = [...headOf(head, name, index), body, ...(codec === "gzip" ? [gzipTail(content)] : [])];
  return [{ head, bytes: Buffer.concat(parts, head.bytes) }];
}

function contentOf(lines: readonly Line[]): Buffer {
  const content = Buffer.allocUnsafe(lines.reduce((sum, { value }) => sum + value.byteLength + 1, 0));
  let at = 0;
  for (const { value } of lines) {
    content.set(value, at);
    at += value.byteLength;
    content[at] = LINE_FEED;
    at += 1;
  }
  return content;
}

async function compress(content: Buffer, { codec, level }: Compression): Promise<Buffer> {
  if (codec === "gzip") {
    const options = { level, memLevel: 9, chunkSize: chunkFor(content) };
    return content.byteLength <= LITTLE ? zlib.deflateRawSync(content, options) : deflate(content, options);
  }
  const options = { params: { [zlib.constants.ZSTD_c_compressionLevel]: level } };
  if (content.byteLength <= LITTLE) return zlib.zstdCompressSync(content, options);
  return promisify(zlib.zstdCompress)(content, options);
}

/** One chunk for what comes out, most times; the default of 16 KB makes many. */
const chunkFor = ({ byteLength }: Buffer): number => Math.min(Math.max(2 ** 12, byteLength >> 2), 2 ** 20);

interface Columns {
  readonly packed: Buffer;
  readonly earliest: number;
  readonly latest: number;
}

function columnsOf(lines: readonly Line[]): Columns {
  const packed = new Varints(lines.length * 3 + 64);
  let [earliest, latest] = [FARTHEST_TIME, -FARTHEST_TIME];
  let offset = lines[0]!.offset - 1;
  for (const line of lines) {
    packed.write(line.offset - offset - 1);
    offset = line.offset;
  }
  let time = 0;
  for (const line of lines) {
    const now = timeOf(line);
    const difference = now - time;
    packed.write(difference < 0 ? -2 * difference - 1 : 2 * difference);
    time = now;
    if (now < earliest) earliest = now;
    if (now > latest) latest = now;
  }
  for (const { value } of lines) packed.write(lineFeedsIn(value));
  return { packed: packed.bytes(), earliest, latest };
}

/** What is no time is 0. */
const timeOf = ({ timestamp }: Line): number =>
  Number.isNaN(timestamp) ? 0 : Math.trunc(Math.min(Math.max(timestamp, -FARTHEST_TIME), FARTHEST_TIME));

function lineFeedsIn(value: Uint8Array): number {
  let count = 0;
  for (let at = value.indexOf(LINE_FEED); at !== -1; at = value.indexOf(LINE_FEED, at + 1)) count += 1;
  return count;
}

/** Whole numbers of at most 2^53, seven bits to a byte, the lowest first. */
class Varints {
  #bytes: Buffer;
  #length = 0;

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafe(size);
  }

  write(value: number): void {
    if (this.#length + 8 > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], this.#bytes.length * 2);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) + 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

function headOf(head: MemberHead, name: Buffer, index: Buffer): readonly Buffer[] {
  const size = HEAD_BYTES + name.byteLength + index.byteLength;
  const fixed = Buffer.alloc(HEAD_BYTES);
  fixed.writeUInt8(VERSION, 0);
  fixed.writeUInt32LE(head.bytes, 1);
  fixed.writeUInt32LE(head.contentBytes, 5);
  fixed.writeUInt32LE(head.records, 9);
  fixed.writeUInt32LE(head.partition, 13);
  fixed.writeBigUInt64LE(BigInt(head.first), 17);
  fixed.writeBigUInt64LE(BigInt(head.last), 25);
  fixed.writeBigInt64LE(BigInt(head.earliest), 33);
  fixed.writeBigInt64LE(BigInt(head.latest), 41);
  fixed.writeUInt16LE(name.byteLength, 49);
  return [head.codec === "gzip" ? gzipHead(size) : zstdHead(size), fixed, name, index];
}

/** Deflated, with an extra field, at no time, by no system in particular. */
function gzipHead(size: number): Buffer {
  const head = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 0, 0, 0x4d, 0x4c, 0, 0]);
  head.writeUInt16LE(size + 4, 10);
  head.writeUInt16LE(size, 14);
  return head;
}

function gzipTail(content: Buffer): Buffer {
  const tail = Buffer.allocUnsafe(GZIP_TAIL);
  tail.writeUInt32LE(crc32(content), 0);
  tail.writeUInt32LE(content.byteLength, 4);
  return tail;
}

function zstdHead(size: number): Buffer {
  const head = Buffer.allocUnsafe(ZSTD_HEAD);
  head.writeUInt32LE(SKIPPABLE, 0);
  head.writeUInt32LE(size, 4);
  return head;
}

/** Bytes that {@link readHead} wants at most. */
export const MOST_HEAD = GZIP_HEAD + MOST_INDEX;

/** What is not a member of an archive, where one is to be. */
export class DamagedMember extends Error {
  override readonly name = "DamagedMember";
}

/**
 * The head of the member that begins there; undefined: it needs more bytes.
 *
 * @throws DamagedMember
 */
export function readHead(bytes: Buffer): MemberHead | undefined {
  const found = findHead(bytes);
  if (!found) return undefined;
  const { codec, fixed, end } = found;
  if (fixed.readUInt8(0) !== VERSION) throw new DamagedMember(`a member of version ${fixed.readUInt8(0)}`);
  const size = fixed.readUInt32LE(1);
  if (size <= end) throw new DamagedMember(`a member of ${size} bytes whose head has ${end}`);
  return {
    codec,
    bytes: size,
    contentBytes: fixed.readUInt32LE(5),
    records: fixed.readUInt32LE(9),
    partition: fixed.readUInt32LE(13),
    first: Number(fixed.readBigUInt64LE(17)),
    last: Number(fixed.readBigUInt64LE(25)),
    earliest: Number(fixed.readBigInt64LE(33)),
    latest: Number(fixed.readBigInt64LE(41)),
    stream: fixed.toString("utf8", HEAD_BYTES, HEAD_BYTES + fixed.readUInt16LE(49)),
  };
}

/** Head and index, as they lie in the bytes, and where they end. */
function findHead(bytes: Buffer): { codec: Codec; fixed: Buffer; end: number } | undefined {
  if (bytes.byteLength < GZIP_HEAD) return undefined;
  const codec = codecOf(bytes);
  const begin = codec === "gzip" ? GZIP_HEAD : ZSTD_HEAD;
  const size = codec === "gzip" ? bytes.readUInt16LE(14) : bytes.readUInt32LE(4);
  if (size < HEAD_BYTES || size > MOST_INDEX) throw new DamagedMember(`a head of ${size} bytes`);
  const end = begin + size;
  return bytes.byteLength < end ? undefined : { codec, fixed: bytes.subarray(begin, end), end };
}

function codecOf(bytes: Buffer): Codec {
  if (bytes.readUInt32LE(0) === SKIPPABLE) return "zstd";
  const isOurs = bytes.readUInt32BE(0) === 0x1f8b0804 && bytes[12] === 0x4d && bytes[13] === 0x4c;
  if (!isOurs) throw new DamagedMember(`no member begins with ${bytes.toString("hex", 0, 4)}`);
  return "gzip";
}

/**
 * The records in a whole member.
 *
 * @throws DamagedMember if it is not what was written
 */
export function unpack(member: Buffer): readonly Line[] {
  const found = findHead(member);
  const head = readHead(member);
  if (!found || !head || member.byteLength < head.bytes) throw new DamagedMember("a member without its end");
  const content = inflate(member.subarray(found.end, head.bytes), head);
  const named = HEAD_BYTES + found.fixed.readUInt16LE(49);
  return linesOf(content, zlib.inflateRawSync(found.fixed.subarray(named)), head);
}

function inflate(body: Buffer, { codec, contentBytes }: MemberHead): Buffer {
  const most = { maxOutputLength: Math.max(1, contentBytes) };
  try {
    if (codec === "zstd") return checked(zlib.zstdDecompressSync(body, most), contentBytes);
    const content = zlib.inflateRawSync(body.subarray(0, -GZIP_TAIL), most);
    if (crc32(content) !== body.readUInt32LE(body.byteLength - GZIP_TAIL)) throw new DamagedMember("another CRC");
    return checked(content, contentBytes);
  } catch (error) {
    if (error instanceof DamagedMember) throw error;
    throw new DamagedMember((error as Error).message);
  }
}

function checked(content: Buffer, bytes: number): Buffer {
  if (content.byteLength === bytes) return content;
  throw new DamagedMember(`${content.byteLength} bytes of content, not ${bytes}`);
}

function linesOf(content: Buffer, columns: Buffer, { records, first }: MemberHead): readonly Line[] {
  let at = 0;
  const next = (): number => {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = columns[at++];
      if (byte === undefined) throw new DamagedMember("an index without its end");
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
  };
  const column = () => Array.from({ length: records }, next);
  const [gaps, differences, feeds] = [column(), column(), column()];
  let [offset, time, from] = [first - 1, 0, 0];
  return gaps.map((gap, index) => {
    offset += gap + 1;
    const difference = differences[index]!;
    time += difference % 2 === 1 ? -(difference + 1) / 2 : difference / 2;
    const end = endOf(content, from, feeds[index]!);
    const value = content.subarray(from, end);
    from = end + 1;
    return { offset, timestamp: time, value };
  });
}

/** Where a record ends that has so many line feeds itself. */
function endOf(content: Buffer, from: number, feeds: number): number {
  let end = content.indexOf(LINE_FEED, from);
  for (let left = feeds; left > 0 && end !== -1; left -= 1) end = content.indexOf(LINE_FEED, end + 1);
  if (end === -1) throw new DamagedMember("a record without its end");
  return end;
}

/** Members one after the other, as they come out of a file. A tail that is torn is no member. */
export async function* membersIn(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Member, { readonly torn: number }, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  let wanted = 0;
  let parts: Buffer[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    parts.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    held += chunk.byteLength;
    if (held < wanted) continue;
    rest = parts.length === 1 ? parts[0]! : Buffer.concat(parts, held);
    wanted = 0;
    for (let head = readHead(rest); head !== undefined; head = readHead(rest)) {
      if (rest.byteLength < head.bytes) {
        wanted = head.bytes;
        break;
      }
      yield { head, bytes: rest.subarray(0, head.bytes) };
      rest = rest.subarray(head.bytes);
    }
    parts = [rest];
    held = rest.byteLength;
  }
  return { torn: held };
}
