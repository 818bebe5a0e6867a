import { isObject } from "../shared/is-object.ts";
import type { TopicRecord } from "./consumed.ts";
import { MillraceError } from "./errors.ts";
import type { StreamRecord } from "./events.ts";
import { toBytes } from "./stream-records.ts";

/**
 * What Alibaba Cloud's services say of a record, in a CloudEvent's `data`, or bare (`RawData`, and the elder connector of
 * ApsaraMQ). Key and value are texts.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc-3-0/user-guide/apsaramq-for-kafka-triggers
 */
export interface KafkaData {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly timestamp?: number;
  readonly headers?: unknown;
  readonly key?: unknown;
  readonly value?: unknown;
  /** The connector's: the value was too large to be brought. */
  readonly overflowFlag?: boolean;
  /** The connector's: bytes. */
  readonly valueSize?: number;
}

/** What a CloudEvent of a record tells; undefined if it is none. Bare data is told as it is, and could be anybody's. */
export function kafkaDataOf(part: unknown): { readonly data: KafkaData; readonly isBare: boolean } | undefined {
  if (!isObject(part)) return undefined;
  const isBare = part.type !== "alikafka:Topic:Message";
  const data = isBare ? part : part.data;
  return isData(data) ? { data, isBare } : undefined;
}

const isData = (value: unknown): value is KafkaData =>
  isObject(value) &&
  typeof value.topic === "string" &&
  typeof value.partition === "number" &&
  typeof value.offset === "number";

/** @throws `bad-input` for a record that came without its value */
export function topicRecordOf(told: KafkaData): TopicRecord {
  const { topic, partition, offset, timestamp = 0, headers, key, value, overflowFlag, valueSize } = told;
  // Without it the record would be another one, which nobody has sent.
  if (overflowFlag === true) {
    const size = valueSize === undefined ? "" : ` of ${valueSize} bytes`;
    throw new MillraceError("bad-input", `the record at ${topic}-${partition}-${offset} came without its value${size}`);
  }
  const record: StreamRecord = {
    partition,
    offset,
    timestamp,
    ...(isThere(key) && { key: bytesOf(key) }),
    ...(isThere(value) && { value: bytesOf(value) }),
    headers: headersOf(headers),
  };
  return { topic, record };
}

const isThere = (value: unknown): boolean => value !== undefined && value !== null;

/** Texts; what has been parsed on its way is made text again. */
const bytesOf = (value: unknown): Uint8Array =>
  Uint8Array.from(toBytes(typeof value === "string" ? value : JSON.stringify(value)));

/**
 * The client's own object with its list inside: `{ "headers": [{ "key": "a", "value": … }], "isReadOnly": false }`.
 * Every sample shows the list empty; a value is taken as the text it is, or as the list of its bytes.
 */
function headersOf(headers: unknown): Readonly<Record<string, Uint8Array>> {
  const list = isObject(headers) ? headers.headers : headers;
  if (!Array.isArray(list)) return {};
  const entries = list
    .filter((one: unknown) => isObject(one) && typeof one.key === "string")
    .map(({ key, value }: { key: string; value?: unknown }) => [key, headerBytes(value)] as const);
  return Object.fromEntries(entries);
}

const headerBytes = (value: unknown): Uint8Array =>
  Array.isArray(value)
    ? Uint8Array.from(value as readonly number[])
    : isThere(value)
      ? bytesOf(value)
      : new Uint8Array();
