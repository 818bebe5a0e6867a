import { toFunctionInvoked } from "../../../runtime/calls.ts";
import type { BucketCreated, QueueReceived, ScheduleFired, SourceEvent } from "../../../runtime/events.ts";
import { isObject } from "../../../shared/is-object.ts";
import { toStreamConsumed } from "./kafka-events.ts";
import { unpackMessage } from "./message-body.ts";

/** What the bytes alone do not say. */
export interface EventContext {
  readonly requestId: string;
  /** ISO 8601. */
  readonly now: string;
  /** Logical names of buckets, queues and streams by their physical ones. */
  readonly sources: Readonly<Record<string, string>>;
}

/**
 * What the service calls a function with, as neutral events. Every form that the documentation and recorded calls
 * show is taken; whatever is none of them is the payload of a call.
 */
export function toEvents(bytes: Uint8Array, context: EventContext): readonly SourceEvent[] {
  const value = parse(Buffer.from(bytes).toString("utf8"));
  const parts = (Array.isArray(value) ? value : [value]).map((part) => (typeof part === "string" ? parse(part) : part));
  if (parts.length > 0 && parts.every(isQueueEvent)) return parts.map((part) => toQueueReceived(part, context));
  const consumed = toStreamConsumed(parts, context);
  if (consumed) return consumed;
  if (isOssEvents(value)) return value.events.filter(isCreation).map((event) => toBucketCreated(event, context));
  if (isTimerEvent(value)) return [toScheduleFired(value, context)];
  return [toFunctionInvoked(value, context)];
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/formats-of-event */
interface OssEvent {
  readonly eventName: string;
  readonly eventTime: string;
  readonly oss: {
    readonly bucket: { readonly name: string };
    readonly object: { readonly key: string; readonly size: number; readonly eTag: string };
  };
  readonly responseElements?: { readonly requestId?: string };
}

const isOssEvents = (value: unknown): value is { readonly events: readonly OssEvent[] } =>
  isObject(value) &&
  Array.isArray(value.events) &&
  value.events.length > 0 &&
  value.events.every((event) => isObject(event) && event.eventSource === "acs:oss" && isObject(event.oss));

const isCreation = ({ eventName }: OssEvent): boolean => eventName.startsWith("ObjectCreated:");

/**
 * The key is taken as it comes: the service's own samples show it unencoded, and decoding one that is not encoded
 * would break `100%.txt` and `a+b.txt`.
 */
function toBucketCreated({ eventTime, oss, responseElements }: OssEvent, { sources }: EventContext): BucketCreated {
  const { bucket, object } = oss;
  const etag = object.eTag.replaceAll('"', "");
  return {
    type: "bucket.created",
    id: `${responseElements?.requestId ?? eventTime}/${object.key}/${etag}`,
    bucket: sources[bucket.name] ?? bucket.name,
    key: object.key,
    etag,
    size: object.size,
    time: toIso(eventTime),
  };
}

/** https://www.alibabacloud.com/help/en/eventbridge/user-guide/message-service-mns */
interface QueueEvent {
  readonly subject: string;
  readonly time?: string;
  readonly data: { readonly messageId: string; readonly messageBody: unknown };
}

const isQueueEvent = (value: unknown): value is QueueEvent =>
  isObject(value) && value.type === "mns:Queue:SendMessage" && isObject(value.data) && "messageId" in value.data;

/** The trigger does not say how often it has delivered the message: `receives` is 1. */
function toQueueReceived({ subject, time, data }: QueueEvent, { sources, now }: EventContext): QueueReceived {
  const name = subject.split("/").at(-1)!;
  const { messageId, messageBody } = data;
  const text = typeof messageBody === "string" ? messageBody : JSON.stringify(messageBody);
  return {
    type: "queue.received",
    id: messageId,
    queue: sources[name] ?? name,
    ...unpackMessage(text),
    receives: 1,
    time: time === undefined ? now : toIso(time),
  };
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/time-triggers */
interface TimerEvent {
  readonly triggerTime: string;
  readonly triggerName: string;
  /** Ours is the schedule's logical name. */
  readonly payload: string;
}

const isTimerEvent = (value: unknown): value is TimerEvent =>
  isObject(value) && typeof value.triggerTime === "string" && typeof value.triggerName === "string";

function toScheduleFired({ triggerTime, triggerName, payload }: TimerEvent, { now }: EventContext): ScheduleFired {
  const time = toIso(triggerTime, now);
  const schedule = payload || triggerName;
  return { type: "schedule.fired", id: `${schedule}/${time}`, schedule, time };
}

/** JSON, or the text where it is none. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const toIso = (time: string, otherwise = new Date(0).toISOString()): string => {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? otherwise : date.toISOString();
};
