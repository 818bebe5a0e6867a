import { MillraceError } from "../../runtime/errors.ts";
import type { SourceEvent } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { BucketReader, TaskSubmitter } from "../../runtime/ports.ts";
import type { Task } from "../../runtime/tasks/task.ts";
import { assetKeys } from "../../shared/video/rendition.ts";
import { parseBody, readableId } from "../tasks/dispatch.ts";
import type { TranscodeSettings } from "./settings.ts";

/** What the dispatcher may touch: the uploads' etags, and the task. */
export interface DispatchLinks {
  readonly uploads: BucketReader;
  readonly task: TaskSubmitter;
}

/**
 * Turns uploads, messages and calls into runs. A run's id comes from bucket, key, etag and the effective settings:
 * the same content with the same settings is one run, however it was asked for and however often.
 * Answers nothing for what is no video: folders' placeholders, watermark images and fonts.
 */
export const handler: Handler<SourceEvent, DispatchLinks, TranscodeSettings, Task | undefined> = async (
  event,
  { links, settings },
) => {
  if (event.type === "bucket.created" && isIgnored(event.key, event.size, settings)) return undefined;
  const { id, payload } = await toSubmit(event, links.uploads, settings);
  const options = event.type === "function.invoked" ? event.options : { event: event.id };
  return links.task.submit(id, payload, { by: "dispatcher", ...options });
};

const isIgnored = (key: string, size: number, { renditions }: TranscodeSettings): boolean =>
  (key.endsWith("/") && size === 0) || assetKeys(renditions).includes(key);

async function toSubmit(event: SourceEvent, uploads: BucketReader, settings: TranscodeSettings) {
  switch (event.type) {
    case "bucket.created": {
      const { key, etag, size } = event;
      return identify({ bucket: uploads.bucket, object: key, etag, size }, key, etag, uploads.bucket, settings);
    }
    case "queue.received":
      return fromRequest(parseBody(event.body), event.body, uploads, settings);
    case "function.invoked":
      return fromRequest(event.payload, JSON.stringify(event.payload) ?? "", uploads, settings);
    case "schedule.fired":
      return { id: readableId(event.schedule, [event.schedule, event.time]), payload: { schedule: event.schedule } };
  }
}

/** A request that names no object still becomes a run, so that somebody hears of it: the worker says what is wrong. */
async function fromRequest(payload: unknown, text: string, uploads: BucketReader, settings: TranscodeSettings) {
  const object = objectOf(payload);
  if (object === undefined) return { id: readableId("request", [text]), payload };
  const asked = payload as Readonly<Record<string, unknown>>;
  const etag = typeof asked.etag === "string" ? asked.etag : await etagOf(object, uploads);
  const pinned = etag === undefined ? asked : { ...asked, etag };
  return identify(pinned, object, etag ?? "", uploads.bucket, settings);
}

/** A key that the bucket won't even look up is the worker's to complain of. */
const etagOf = async (object: string, uploads: BucketReader): Promise<string | undefined> => {
  try {
    return (await uploads.head(object))?.etag;
  } catch (error) {
    if (error instanceof MillraceError && (error.kind === "bad-input" || error.kind === "refused")) return undefined;
    throw error;
  }
};

function objectOf(payload: unknown): string | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  const { object, object_key } = payload as Readonly<Record<string, unknown>>;
  const key = object ?? object_key;
  return typeof key === "string" && key !== "" ? key : undefined;
}

interface Asked {
  readonly bucket?: unknown;
  readonly bucket_name?: unknown;
  readonly dst_format?: unknown;
  readonly output_dir?: unknown;
}

function identify(
  payload: Asked & Readonly<Record<string, unknown>>,
  object: string,
  etag: string,
  uploads: string,
  settings: TranscodeSettings,
) {
  const { bucket, bucket_name, dst_format, output_dir } = payload;
  const effective = JSON.stringify([settings, dst_format, output_dir]);
  return { id: readableId(object, [String(bucket ?? bucket_name ?? uploads), object, etag, effective]), payload };
}
