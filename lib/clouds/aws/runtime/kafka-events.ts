import { type ConsumedContext, type TopicRecord, toConsumed } from "../../../runtime/consumed.ts";
import type { StreamConsumed } from "../../../runtime/events.ts";
import { recordFromWire } from "../../../runtime/stream-records.ts";

/** https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html and https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html */
interface KafkaBatch {
  readonly eventSource: string;
  /** By topic and partition, `orders-eu-3`, of which nothing is to be read: topics have hyphens too. */
  readonly records: Readonly<Record<string, readonly KafkaRecord[]>>;
}

interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  /** Base64; none if the record has none. */
  readonly key?: string | null;
  readonly value?: string | null;
  /** One object for each header, with its bytes as numbers. */
  readonly headers?: readonly Readonly<Record<string, readonly number[]>>[];
}

const SOURCES: readonly unknown[] = ["aws:kafka", "SelfManagedKafka"];

/** Records of a Kafka, of MSK or any other. */
export function isKafkaBatch(value: unknown): value is KafkaBatch {
  if (typeof value !== "object" || value === null) return false;
  const { eventSource, records } = value as Partial<KafkaBatch>;
  return SOURCES.includes(eventSource) && typeof records === "object" && records !== null;
}

/** One event for each stream, its records in order in each of their partitions. */
export const toStreamConsumed = ({ records }: KafkaBatch, context: ConsumedContext): readonly StreamConsumed[] =>
  toConsumed(Object.values(records).flat().map(toTopicRecord), context);

function toTopicRecord({ topic, partition, offset, timestamp, key, value, headers = [] }: KafkaRecord): TopicRecord {
  const wire = { partition, offset, timestamp, headers: {} };
  const { headers: _, ...record } = recordFromWire({
    ...wire,
    ...(typeof key === "string" && { key }),
    ...(typeof value === "string" && { value }),
  });
  const bytes = headers.flatMap((header) => Object.entries(header)).map(([name, all]) => [name, Uint8Array.from(all)]);
  return { topic, record: { ...record, headers: Object.fromEntries(bytes) as Readonly<Record<string, Uint8Array>> } };
}
