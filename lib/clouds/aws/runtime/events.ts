import { toFunctionInvoked } from "../../../runtime/calls.ts";
import type { BucketCreated, QueueReceived, ScheduleFired, SourceEvent } from "../../../runtime/events.ts";
import { isObject } from "../../../shared/is-object.ts";
import { isKafkaBatch, toStreamConsumed } from "./kafka-events.ts";
import { fromSqs } from "./message.ts";

/** What the event alone does not say. */
export interface EventContext {
  readonly requestId: string;
  /** ISO 8601. */
  readonly now: string;
  /** Logical names of buckets, queues and streams by their physical ones. */
  readonly sources: Readonly<Record<string, string>>;
}

/**
 * What Lambda calls a function with, as neutral events; whatever is of no form known here is the payload of a call. Of a
 * bucket's events only those of creation are ours.
 */
export function toEvents(value: unknown, context: EventContext): readonly SourceEvent[] {
  if (isCreation(value)) return [fromEventBridge(value, context)];
  if (isRecords(value, isS3Record)) {
    return value.Records.filter(({ eventName }) => /^(s3:)?ObjectCreated:/.test(eventName)).map((record) =>
      fromNotification(record, context),
    );
  }
  if (isQueueBatch(value)) return value.Records.map((record) => toQueueReceived(record, context));
  if (isKafkaBatch(value)) return toStreamConsumed(value, context);
  if (isScheduled(value)) return [toScheduleFired(value, context)];
  return [toFunctionInvoked(value, context)];
}

/** Messages of a queue, of which those that failed are to be named. */
export const isQueueBatch = (value: unknown): value is Records<SqsRecord> => isRecords(value, isSqsRecord);

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html */
interface ObjectCreated {
  readonly id: string;
  readonly time: string;
  readonly detail: {
    readonly bucket: { readonly name: string };
    readonly object: S3Object & { readonly etag?: string };
  };
}

interface S3Object {
  readonly key: string;
  /** Bytes. */
  readonly size?: number;
  readonly sequencer?: string;
}

const isCreation = (value: unknown): value is ObjectCreated =>
  isObject(value) &&
  value.source === "aws.s3" &&
  value["detail-type"] === "Object Created" &&
  isObject(value.detail) &&
  isObject(value.detail.bucket) &&
  isObject(value.detail.object);

/** The key comes as it is; decoding it would break `100%.txt` and `a+b.txt`. */
function fromEventBridge(
  { id, time, detail: { bucket, object } }: ObjectCreated,
  context: EventContext,
): BucketCreated {
  return toBucketCreated({ ...object, bucket: bucket.name, etag: object.etag, event: id, time }, context);
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
interface S3Record {
  readonly eventName: string;
  readonly eventTime: string;
  readonly s3: {
    readonly bucket: { readonly name: string };
    readonly object: S3Object & { readonly eTag?: string };
  };
}

const isS3Record = (record: unknown): record is S3Record =>
  isObject(record) &&
  typeof record.eventSource === "string" &&
  /^(aws|minio):s3$/.test(record.eventSource) &&
  isObject(record.s3);

/** Here the key is encoded as a form is. */
function fromNotification({ eventTime, s3: { bucket, object } }: S3Record, context: EventContext): BucketCreated {
  const key = decodeURIComponent(object.key.replaceAll("+", "%20"));
  return toBucketCreated(
    { ...object, key, bucket: bucket.name, etag: object.eTag, event: eventTime, time: eventTime },
    context,
  );
}

interface Created extends S3Object {
  readonly bucket: string;
  readonly etag: string | undefined;
  /** Names the event where it has no sequencer. */
  readonly event: string;
  readonly time: string;
}

/** The sequencer orders what happens to a key: with the etag, it is one creation, by whichever way and how often it is told. */
const toBucketCreated = (created: Created, { sources, now }: EventContext): BucketCreated => {
  const etag = (created.etag ?? "").replaceAll('"', "");
  return {
    type: "bucket.created",
    id: `${created.sequencer ?? created.event}/${created.key}/${etag}`,
    bucket: sources[created.bucket] ?? created.bucket,
    key: created.key,
    etag,
    size: created.size ?? 0,
    time: toIso(created.time, now),
  };
};

/** https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html */
interface SqsRecord {
  readonly messageId: string;
  readonly body: string;
  readonly attributes?: { readonly ApproximateReceiveCount?: string; readonly SentTimestamp?: string };
  readonly messageAttributes?: Readonly<Record<string, { readonly stringValue?: string }>>;
  readonly eventSourceARN: string;
}

const isSqsRecord = (record: unknown): record is SqsRecord =>
  isObject(record) &&
  record.eventSource === "aws:sqs" &&
  typeof record.messageId === "string" &&
  typeof record.eventSourceARN === "string";

function toQueueReceived(record: SqsRecord, { sources, now }: EventContext): QueueReceived {
  const { messageId, body, attributes = {}, messageAttributes = {}, eventSourceARN } = record;
  const name = eventSourceARN.split(":").at(-1)!;
  const texts = Object.entries(messageAttributes).map(([key, { stringValue }]) => [key, stringValue] as const);
  const { ApproximateReceiveCount = "1", SentTimestamp } = attributes;
  return {
    type: "queue.received",
    id: messageId,
    queue: sources[name] ?? name,
    ...fromSqs(body, Object.fromEntries(texts)),
    receives: Number(ApproximateReceiveCount),
    time: SentTimestamp === undefined ? now : new Date(Number(SentTimestamp)).toISOString(),
  };
}

/** What a schedule is deployed to send. */
interface Scheduled {
  readonly millrace: "schedule";
  readonly schedule: string;
  /** When it was due. */
  readonly time: string;
}

const isScheduled = (value: unknown): value is Scheduled =>
  isObject(value) && value.millrace === "schedule" && typeof value.schedule === "string";

function toScheduleFired({ schedule, time: due }: Scheduled, { now }: EventContext): ScheduleFired {
  const time = toIso(due, now);
  return { type: "schedule.fired", id: `${schedule}/${time}`, schedule, time };
}

interface Records<Item> {
  readonly Records: readonly Item[];
}

const isRecords = <Item>(value: unknown, isOne: (record: unknown) => record is Item): value is Records<Item> =>
  isObject(value) && Array.isArray(value.Records) && value.Records.length > 0 && value.Records.every(isOne);

const toIso = (time: string, otherwise: string): string => {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? otherwise : date.toISOString();
};
