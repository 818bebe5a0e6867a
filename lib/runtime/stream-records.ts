import type { StreamConsumed, StreamRecord } from "./events.ts";
import type { NewRecord } from "./ports.ts";

/** A record as JSON has it: what is bytes is base64. */
export interface WireRecord extends Omit<StreamRecord, "key" | "value" | "headers"> {
  readonly key?: string;
  readonly value?: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A batch as JSON has it. */
export interface WireConsumed extends Omit<StreamConsumed, "records"> {
  readonly records: readonly WireRecord[];
}

/** A record to be appended, as JSON has it: what is bytes is base64, and so is text. */
export interface WireNewRecord extends Omit<NewRecord, "key" | "value" | "headers"> {
  readonly key?: string;
  readonly value?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Which records of a stream are meant, where they themselves are too many to be told: there they still lie. */
export interface RecordsReference extends Pick<StreamConsumed, "type" | "id" | "stream"> {
  /** By partition, in the order of partitions: the first and the last offset. */
  readonly ranges: readonly { readonly partition: number; readonly first: number; readonly last: number }[];
}

/** The batch as plain JSON; {@link fromWire} makes the same of it again. */
export const toWire = ({ records, ...event }: StreamConsumed): WireConsumed => ({
  ...event,
  records: records.map(recordToWire),
});

/** The batch that {@link toWire} made plain JSON of. */
export const fromWire = ({ records, ...event }: WireConsumed): StreamConsumed => ({
  ...event,
  records: records.map(recordFromWire),
});

export const recordToWire = ({ key, value, headers, ...record }: StreamRecord): WireRecord => ({
  ...record,
  ...(key && { key: toBase64(key) }),
  ...(value && { value: toBase64(value) }),
  headers: mapValues(headers, toBase64),
});

export const recordFromWire = ({ key, value, headers, ...record }: WireRecord): StreamRecord => ({
  ...record,
  ...(key !== undefined && { key: fromBase64(key) }),
  ...(value !== undefined && { value: fromBase64(value) }),
  headers: mapValues(headers, fromBase64),
});

export const newRecordToWire = ({ key, value, headers, ...record }: NewRecord): WireNewRecord => ({
  ...record,
  ...(key !== undefined && { key: toBase64(toBytes(key)) }),
  ...(value !== undefined && { value: toBase64(toBytes(value)) }),
  ...(headers && { headers: mapValues(headers, (header) => toBase64(toBytes(header))) }),
});

export const newRecordFromWire = ({ key, value, headers, ...record }: WireNewRecord): NewRecord => ({
  ...record,
  ...(key !== undefined && { key: fromBase64(key) }),
  ...(value !== undefined && { value: fromBase64(value) }),
  ...(headers && { headers: mapValues(headers, fromBase64) }),
});

/** Text is UTF-8. */
export const toBytes = (content: Uint8Array | string): Uint8Array =>
  typeof content === "string" ? Buffer.from(content) : content;

/** What stands for a batch that is too large for a message. */
export function referenceTo({ type, id, stream, records }: StreamConsumed): RecordsReference {
  const ranges = new Map<number, { partition: number; first: number; last: number }>();
  for (const { partition, offset } of records) {
    const range = ranges.get(partition);
    if (range) range.last = offset;
    else ranges.set(partition, { partition, first: offset, last: offset });
  }
  return { type, id, stream, ranges: [...ranges.values()].sort((one, other) => one.partition - other.partition) };
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** A plain array of bytes, as every cloud gives it: a Buffer would be compared as another thing. */
function fromBase64(text: string): Uint8Array {
  const { buffer, byteOffset, byteLength } = Buffer.from(text, "base64");
  return new Uint8Array(buffer, byteOffset, byteLength);
}

const mapValues = <From, To>(
  values: Readonly<Record<string, From>>,
  change: (value: From) => To,
): Readonly<Record<string, To>> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));
