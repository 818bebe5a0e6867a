import { isUtf8 } from "node:buffer";
import { MillraceError } from "../../runtime/errors.ts";
import type { StreamRecord } from "../../runtime/events.ts";

/** How the value of a record becomes what operators get: parsed, its text, or its bytes (base64 to Python). */
export type RecordFormat = "json" | "text" | "bytes";

/** A record as operators see it. */
export interface EtlRecord<Value = unknown> {
  readonly key: string | undefined;
  /** As `format` says, or what the operator before has made of it. Of a record without a value: `null`. */
  readonly value: Value;
  readonly headers: Readonly<Record<string, string>>;
  readonly stream: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970, as its sender says. */
  readonly timestamp: number;
}

/** What a record is known by, everywhere and forever: `<stream>-<partition>-<offset>`. */
export const coordinatesOf = (stream: string, { partition, offset }: Pick<StreamRecord, "partition" | "offset">) =>
  `${stream}-${partition}-${offset}`;

/**
 * A record for the first operator.
 *
 * @throws `bad-input` if its value is not of the format
 */
export function decode(stream: string, record: StreamRecord, format: RecordFormat): EtlRecord {
  const { key, value, partition, offset, timestamp } = record;
  return {
    key: key && textOf(key),
    value: value === undefined ? null : contentOf(value, format),
    headers: headersOf(record),
    ...{ stream, partition, offset, timestamp },
  };
}

function contentOf(bytes: Uint8Array, format: RecordFormat): unknown {
  if (format === "bytes") return bytes;
  if (!isUtf8(bytes)) throw new MillraceError("bad-input", "the value is no UTF-8 text");
  const text = textOf(bytes);
  if (format === "text") return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new MillraceError("bad-input", `the value is no JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

const NO_HEADERS: Readonly<Record<string, string>> = {};

function headersOf({ headers }: StreamRecord): Readonly<Record<string, string>> {
  const entries = Object.entries(headers);
  if (entries.length === 0) return NO_HEADERS;
  return Object.fromEntries(entries.map(([name, bytes]) => [name, textOf(bytes)]));
}

export const textOf = (bytes: Uint8Array): string => asBuffer(bytes).toString("utf8");

const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

/** Bytes in JSON: text where they are text, else base64. */
export const toText = (bytes: Uint8Array): { readonly text: string; readonly isBase64: boolean } =>
  isUtf8(bytes)
    ? { text: textOf(bytes), isBase64: false }
    : { text: asBuffer(bytes).toString("base64"), isBase64: true };

/** The bytes that {@link toText} has written. */
export const toBytes = (text: string, isBase64: boolean): Uint8Array => Buffer.from(text, isBase64 ? "base64" : "utf8");

/**
 * A record as Function Compute's Kafka connector writes it: a run's payload is an array of them. What it does not know
 * is left out where it says nothing: headers, and which of key and value are base64 because they are no text.
 */
export interface ConnectorRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
  /** Bytes; -1 of a record without a value. */
  readonly valueSize: number;
  /** Whether the connector has cut the value; never so here. */
  readonly overflowFlag: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly base64?: readonly ("key" | "value" | `headers.${string}`)[];
}

export function toConnector(topic: string, record: StreamRecord): ConnectorRecord {
  const { partition, offset, timestamp } = record;
  const base64: NonNullable<ConnectorRecord["base64"]>[number][] = [];
  const write = (name: (typeof base64)[number], bytes: Uint8Array): string => {
    const { text, isBase64 } = toText(bytes);
    if (isBase64) base64.push(name);
    return text;
  };
  const key = record.key === undefined ? null : write("key", record.key);
  const value = record.value === undefined ? null : write("value", record.value);
  const headers = Object.entries(record.headers).map(([name, bytes]) => [name, write(`headers.${name}`, bytes)]);
  return {
    ...{ key, offset, overflowFlag: false, partition, timestamp, topic, value },
    valueSize: record.value?.byteLength ?? -1,
    ...(headers.length > 0 && { headers: Object.fromEntries(headers) as Record<string, string> }),
    ...(base64.length > 0 && { base64 }),
  };
}

/** @throws `bad-input` if it is no such record */
export function fromConnector(given: unknown): StreamRecord {
  const { key, value, partition, offset, timestamp, headers = {}, base64 = [] } = checked(given);
  const read = (name: (typeof base64)[number], text: string) => toBytes(text, base64.includes(name));
  return {
    ...{ partition, offset, timestamp },
    ...(typeof key === "string" && { key: read("key", key) }),
    ...(typeof value === "string" && { value: read("value", value) }),
    headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, read(`headers.${name}`, text)])),
  };
}

function checked(given: unknown): ConnectorRecord {
  const record = (typeof given === "object" ? given : null) as ConnectorRecord | null;
  const isRecord =
    record !== null &&
    [record.partition, record.offset, record.timestamp].every((one) => typeof one === "number") &&
    [record.key, record.value].every((one) => one === null || one === undefined || typeof one === "string");
  if (isRecord && !record.overflowFlag) return record;
  const wanted = isRecord
    ? "the whole value, and the connector has cut it"
    : "{ topic, partition, offset, timestamp, key, value }";
  throw new MillraceError(
    "bad-input",
    `a record is wanted: ${wanted}; got ${String(JSON.stringify(given)).slice(0, 200)}`,
  );
}
