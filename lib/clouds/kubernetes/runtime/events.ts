import { toFunctionInvoked } from "../../../runtime/calls.ts";
import type { BucketCreated, QueueReceived, ScheduleFired, SourceEvent } from "../../../runtime/events.ts";
import type { Message } from "../../../runtime/ports.ts";
import { isObject } from "../../../shared/is-object.ts";
import type { TimedCall } from "./publish.ts";

/** What a message on a function's own subject asks for: one event, or a look at its buckets. */
export type Asked = { readonly event: SourceEvent } | { readonly listing: true };

/** An event that was found by a listing, as it travels to the function. */
export interface CreatedCall {
  readonly millrace: "created";
  readonly event: BucketCreated;
}

/** Whatever is none of our own messages is the payload of a call. */
export function toAsked({ id, body, time }: Pick<Message, "id" | "body" | "time">): Asked {
  const value = parse(body);
  if (isOurs<CreatedCall>(value, "created")) return { event: value.event };
  if (isOurs<TimedCall>(value, "listing")) return { listing: true };
  if (isOurs<Extract<TimedCall, { millrace: "schedule" }>>(value, "schedule")) return { event: toScheduleFired(value) };
  return { event: toFunctionInvoked(value, { requestId: id, now: time }) };
}

const isOurs = <Ours extends { readonly millrace: string }>(value: unknown, kind: Ours["millrace"]): value is Ours =>
  isObject(value) && value.millrace === kind;

const toScheduleFired = ({ schedule, time }: { readonly schedule: string; readonly time: string }): ScheduleFired => ({
  type: "schedule.fired",
  id: `${schedule}/${time}`,
  schedule,
  time,
});

export const toQueueReceived = (queue: string, message: Message): QueueReceived => {
  const { receipt: _, ...received } = message;
  return { type: "queue.received", queue, ...received };
};

/** A store's word that an object was created. */
export interface Notice {
  /** The same at every delivery of the notice. */
  readonly id: string;
  /** The bucket's physical name. */
  readonly bucket: string;
  /**
   * What the key may be: stores differ in whether they encode it. More than one where its text alone does not say: the
   * likelier first.
   */
  readonly keys: readonly string[];
  readonly etag: string;
  readonly size: number;
  /** ISO 8601. */
  readonly time: string;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html */
interface S3Record {
  readonly eventName: string;
  readonly eventTime: string;
  readonly responseElements?: { readonly "x-amz-request-id"?: string };
  readonly s3: {
    readonly configurationId?: string;
    readonly bucket: { readonly name: string };
    readonly object: {
      readonly key: string;
      readonly size?: number;
      readonly eTag?: string;
      readonly sequencer?: string;
    };
  };
}

/** The creations a notification tells of, in S3's form: none in what tells of something else. */
export function toNotices(body: string): readonly Notice[] {
  const value = parse(body);
  const records = isObject(value) && Array.isArray(value.Records) ? (value.Records as readonly unknown[]) : [];
  return records.filter(isS3Record).filter(isCreation).map(toNotice);
}

const isS3Record = (value: unknown): value is S3Record =>
  isObject(value) &&
  typeof value.eventName === "string" &&
  isObject(value.s3) &&
  isObject(value.s3.bucket) &&
  isObject(value.s3.object) &&
  typeof value.s3.object.key === "string";

/** S3 leaves the `s3:` out, other stores do not. */
const isCreation = ({ eventName }: S3Record): boolean => /^(s3:)?ObjectCreated:/.test(eventName);

function toNotice({ eventTime, responseElements, s3: { configurationId = "", bucket, object } }: S3Record): Notice {
  const { key, size = 0, eTag, sequencer = "" } = object;
  const etag = (eTag ?? "").replaceAll('"', "");
  const request = responseElements?.["x-amz-request-id"] || eventTime;
  return {
    id: `${request}/${sequencer}/${key}/${etag}`,
    bucket: bucket.name,
    keys: keysIn(key, configurationId),
    etag,
    size,
    time: new Date(eventTime).toISOString(),
  };
}

/** versitygw names itself so, and sends keys as they are. https://github.com/versity/versitygw/blob/main/s3event/event.go */
const SENDS_PLAIN_KEYS = /^(nats|webhook|kafka|rabbitmq)-global$/;

/** S3 and MinIO send keys as a form encodes them; what such an encoding cannot hold was not encoded. */
function keysIn(key: string, configurationId: string): readonly string[] {
  if (SENDS_PLAIN_KEYS.test(configurationId) || /[^\w.~*+%/!'():-]/.test(key)) return [key];
  try {
    return [...new Set([decodeURIComponent(key.replaceAll("+", " ")), key])];
  } catch {
    return [key];
  }
}

/** JSON, or the text where it is none. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
