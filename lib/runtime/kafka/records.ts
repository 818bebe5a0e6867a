import { compressionsAlgorithmsByBitmask, crc32c } from "@platformatic/kafka";
import { MillraceError } from "../errors.ts";
import type { StreamRecord } from "../events.ts";

/**
 * Batches of records as Kafka keeps them, in its second format, which all Kafkas since 0.11 have. Written and read here,
 * in one go over one buffer, because the client makes several buffers and numbers of 64 bits for every record.
 *
 * @see https://kafka.apache.org/documentation/#recordbatch
 */

/** A record as bytes. */
export interface PlainRecord {
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly (readonly [name: Uint8Array, value: Uint8Array])[];
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** Which one it is of those that were sent together. */
  readonly index: number;
}

/** What is in the head of a batch beside its records. */
export interface Stamp {
  readonly producer: bigint;
  readonly epoch: number;
  /** The producer's number of the first record in this partition. */
  readonly number: number;
  readonly isTransactional: boolean;
}

const HEAD = 61;
/** Where length, format, checksum, and what the checksum covers begin. */
const AT = { length: 8, leaderEpoch: 12, format: 16, checksum: 17, covered: 21 } as const;
const FORMAT = 2;
const COMPRESSION = 0b111;
const APPEND_TIME = 1 << 3;
const TRANSACTIONAL = 1 << 4;
const CONTROL = 1 << 5;

/** Most bytes that a record takes in a batch. */
export function sizeOf({ key, value, headers }: PlainRecord): number {
  // Length, attributes, time, place, and the lengths of key and value, at their longest.
  let size = 5 + 1 + 10 + 5 + 5 + 5 + 5 + (key?.length ?? 0) + (value?.length ?? 0);
  for (const [name, content] of headers) size += 10 + name.length + content.length;
  return size;
}

/** A batch, ready to be sent. */
export function encodeBatch(
  records: readonly PlainRecord[],
  { producer, epoch, number, isTransactional }: Stamp,
): Buffer {
  const first = records[0]!.timestamp;
  let most = HEAD;
  let last = first;
  for (const record of records) {
    most += sizeOf(record);
    if (record.timestamp > last) last = record.timestamp;
  }
  const writer = new BytesWriter(Buffer.allocUnsafe(most), HEAD);
  records.forEach((record, index) => void writeRecord(writer, record, index, record.timestamp - first));
  const bytes = writer.bytes.subarray(0, writer.at);
  bytes.writeBigInt64BE(0n, 0);
  bytes.writeInt32BE(bytes.length - AT.leaderEpoch, AT.length);
  bytes.writeInt32BE(-1, AT.leaderEpoch);
  bytes.writeInt8(FORMAT, AT.format);
  bytes.writeInt16BE(isTransactional ? TRANSACTIONAL : 0, AT.covered);
  bytes.writeInt32BE(records.length - 1, 23);
  bytes.writeBigInt64BE(BigInt(first), 27);
  bytes.writeBigInt64BE(BigInt(last), 35);
  bytes.writeBigInt64BE(producer, 43);
  bytes.writeInt16BE(epoch, 51);
  bytes.writeInt32BE(number, 53);
  bytes.writeInt32BE(records.length, 57);
  bytes.writeUInt32BE(crc32c(bytes.subarray(AT.covered)), AT.checksum);
  return bytes;
}

function writeRecord(writer: BytesWriter, { key, value, headers }: PlainRecord, place: number, time: number): void {
  const length =
    1 +
    sizeOfSigned(time) +
    sizeOfSigned(place) +
    sizeOfBytes(key) +
    sizeOfBytes(value) +
    sizeOfSigned(headers.length) +
    headers.reduce((sum, [name, content]) => sum + sizeOfBytes(name) + sizeOfBytes(content), 0);
  writer.signed(length);
  writer.byte(0);
  writer.signed(time);
  writer.signed(place);
  writer.lengthAndBytes(key);
  writer.lengthAndBytes(value);
  writer.signed(headers.length);
  for (const [name, content] of headers) {
    writer.lengthAndBytes(name);
    writer.lengthAndBytes(content);
  }
}

const sizeOfBytes = (bytes: Uint8Array | undefined): number =>
  bytes ? sizeOfSigned(bytes.length) + bytes.length : sizeOfSigned(-1);

/** Zigzag: 0, -1, 1, -2 become 0, 1, 2, 3, so that small numbers are short. */
const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);

function sizeOfSigned(value: number): number {
  let size = 1;
  for (let rest = zigzag(value); rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

class BytesWriter {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  byte(value: number): void {
    this.bytes[this.at++] = value;
  }

  /** Seven bits in each byte; the highest says that more follow. */
  signed(value: number): void {
    let rest = zigzag(value);
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.bytes[this.at++] = (rest % 0x80) | 0x80;
    this.bytes[this.at++] = rest;
  }

  lengthAndBytes(bytes: Uint8Array | undefined): void {
    this.signed(bytes?.length ?? -1);
    if (!bytes) return;
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }
}

/** What a reader gets of a partition. */
export interface Fetched {
  readonly records: readonly StreamRecord[];
  /** Where to go on: what is before it is read, or is nothing for readers. */
  readonly next: number;
}

/** A transaction that came to nothing: whose, and from where on. */
export interface Aborted {
  readonly producer: bigint;
  readonly first: number;
}

/**
 * The records of a fetch from an offset on, but for those of transactions that were aborted.
 *
 * @throws `failed` if a batch is damaged
 */
export function decodeBatches(
  bytes: Buffer,
  {
    partition,
    from,
    aborted,
  }: { readonly partition: number; readonly from: number; readonly aborted: readonly Aborted[] },
): Fetched {
  const records: StreamRecord[] = [];
  const waiting = [...aborted].sort((one, other) => one.first - other.first);
  const dead = new Set<bigint>();
  let next = from;
  for (let at = 0; at + HEAD <= bytes.length; ) {
    const end = at + AT.leaderEpoch + bytes.readInt32BE(at + AT.length);
    if (end > bytes.length) break; // the broker cuts what it sends, not what it keeps
    const batch = bytes.subarray(at, end);
    at = end;
    const head = headOf(batch, partition);
    while (waiting.length > 0 && waiting[0]!.first <= head.last) dead.add(waiting.shift()!.producer);
    if (head.attributes & CONTROL) {
      if (isAbort(batch)) dead.delete(head.producer);
    } else if (!(head.attributes & TRANSACTIONAL && dead.has(head.producer))) {
      readRecords(batch, head, partition, from, records);
    }
    next = Math.max(next, head.last + 1);
  }
  return { records, next };
}

interface Head {
  readonly first: number;
  readonly last: number;
  readonly attributes: number;
  readonly time: number;
  readonly latest: number;
  readonly producer: bigint;
  readonly count: number;
}

function headOf(batch: Buffer, partition: number): Head {
  const first = number64(batch, 0);
  const format = batch.readInt8(AT.format);
  const where = `partition ${partition}, offset ${first}`;
  if (format !== FORMAT) {
    throw new MillraceError("failed", `${where}: a batch of format ${format}, from before Kafka 0.11, is not read`);
  }
  if (crc32c(batch.subarray(AT.covered)) !== batch.readUInt32BE(AT.checksum)) {
    throw new MillraceError("failed", `${where}: a batch is damaged, its checksum is another one`);
  }
  return {
    first,
    last: first + batch.readInt32BE(23),
    attributes: batch.readInt16BE(AT.covered),
    time: number64(batch, 27),
    latest: number64(batch, 35),
    producer: batch.readBigInt64BE(43),
    count: batch.readInt32BE(57),
  };
}

function readRecords(batch: Buffer, head: Head, partition: number, from: number, into: StreamRecord[]): void {
  const compression = head.attributes & COMPRESSION;
  const body = batch.subarray(HEAD);
  const reader = new BytesReader(compression === 0 ? body : decompress(body, compression));
  const atAppend = (head.attributes & APPEND_TIME) !== 0;
  for (let index = 0; index < head.count; index++) {
    const length = reader.signed();
    const end = reader.at + length;
    reader.at += 1;
    const time = reader.signed();
    const offset = head.first + reader.signed();
    if (offset < from) {
      reader.at = end;
      continue;
    }
    const timestamp = atAppend ? head.latest : head.time + time;
    const key = reader.lengthAndBytes();
    const value = reader.lengthAndBytes();
    into.push({
      partition,
      offset,
      timestamp,
      ...(key && { key }),
      ...(value && { value }),
      headers: readHeaders(reader),
    });
    reader.at = end;
  }
}

const NONE: Readonly<Record<string, Uint8Array>> = Object.freeze({});

function readHeaders(reader: BytesReader): Readonly<Record<string, Uint8Array>> {
  const count = reader.signed();
  if (count === 0) return NONE;
  const headers: [string, Uint8Array][] = [];
  for (let index = 0; index < count; index++) {
    const name = Buffer.from(reader.lengthAndBytes() ?? new Uint8Array()).toString();
    headers.push([name, reader.lengthAndBytes() ?? new Uint8Array()]);
  }
  return Object.fromEntries(headers);
}

/** A control record's key is two numbers: its version, and 0 for abort, 1 for commit. */
function isAbort(batch: Buffer): boolean {
  const reader = new BytesReader(batch.subarray(HEAD));
  reader.signed();
  reader.at += 1;
  reader.signed();
  reader.signed();
  const key = reader.lengthAndBytes();
  return key !== undefined && key[2] === 0 && key[3] === 0;
}

const ALGORITHMS: Readonly<Record<number, string>> = { 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd" };

function decompress(body: Buffer, compression: number): Buffer {
  const algorithm = compressionsAlgorithmsByBitmask[compression];
  if (algorithm?.available) return algorithm.decompressSync(body);
  throw new MillraceError(
    "failed",
    `records are compressed by ${ALGORITHMS[compression] ?? compression}, which Node ${process.versions.node} does not know`,
  );
}

/** Exact up to 2^53. */
const number64 = (bytes: Buffer, at: number): number => bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);

class BytesReader {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  signed(): number {
    let result = 0;
    let factor = 1;
    for (;;) {
      const byte = this.#bytes[this.at++]!;
      result += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
      factor *= 0x80;
    }
    return result % 2 === 0 ? result / 2 : -(result + 1) / 2;
  }

  /** A view, which is no copy. */
  lengthAndBytes(): Uint8Array | undefined {
    const length = this.signed();
    if (length < 0) return undefined;
    const { buffer, byteOffset } = this.#bytes;
    const bytes = new Uint8Array(buffer, byteOffset + this.at, length);
    this.at += length;
    return bytes;
  }
}
