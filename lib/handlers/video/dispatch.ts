import { MillraceError } from "../../runtime/errors.ts";
import type { SingleEvent } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { BucketReader, ObjectInfo, TaskSubmitter, WorkflowStarter } from "../../runtime/ports.ts";
import type { Task } from "../../runtime/tasks/task.ts";
import type { WorkflowRun } from "../../runtime/workflows/run.ts";
import { assetKeys } from "../../shared/video/rendition.ts";
import { parseBody, readableId } from "../tasks/dispatch.ts";
import type { TranscodeSettings } from "./settings.ts";

/** What the dispatcher may touch: the uploads' etags, the task, and what makes videos in slices. */
export interface DispatchLinks {
  readonly uploads: BucketReader;
  readonly task: TaskSubmitter;
  readonly sliced?: WorkflowStarter;
}

/** What a pipeline makes, and of which size on it makes it in slices. */
export interface DispatchSettings extends TranscodeSettings {
  /** Absent: no video is. */
  readonly slices?: {
    /** Bytes: videos that have more are. */
    readonly over: number;
  };
}

/**
 * Turns uploads, messages and calls into runs. A run's id comes from bucket, key, etag and the effective settings:
 * the same content with the same settings is one run, however it was asked for and however often.
 * The run of a large video is started as one in slices; a caller gets a run of the task whatever the size.
 * Answers nothing for what is no video: folders' placeholders, watermark images and fonts.
 */
export const handler: Handler<SingleEvent, DispatchLinks, DispatchSettings, Task | WorkflowRun | undefined> = async (
  event,
  { links: { uploads, task, sliced }, settings: { slices, ...settings } },
) => {
  if (event.type === "bucket.created" && isIgnored(event.key, event.size, settings)) return undefined;
  const { id, payload, size = 0 } = await toSubmit(event, uploads, settings, sliced !== undefined);
  if (event.type === "function.invoked") return task.submit(id, payload, { by: "dispatcher", ...event.options });
  if (sliced && slices && size > slices.over) return sliced.start(id, { id, payload });
  return task.submit(id, payload, { by: "dispatcher", event: event.id });
};

const isIgnored = (key: string, size: number, { renditions }: TranscodeSettings): boolean =>
  (key.endsWith("/") && size === 0) || assetKeys(renditions).includes(key);

async function toSubmit(
  event: SingleEvent,
  uploads: BucketReader,
  settings: TranscodeSettings,
  wantsSize: boolean,
): Promise<Submit> {
  switch (event.type) {
    case "bucket.created": {
      const { key, etag, size } = event;
      const payload = { bucket: uploads.bucket, object: key, etag, size };
      return { ...identify(payload, key, etag, uploads.bucket, settings), size };
    }
    case "queue.received":
      return fromRequest(parseBody(event.body), event.body, uploads, settings, wantsSize);
    case "function.invoked":
      return fromRequest(event.payload, JSON.stringify(event.payload) ?? "", uploads, settings, false);
    case "schedule.fired":
      return { id: readableId(event.schedule, [event.schedule, event.time]), payload: { schedule: event.schedule } };
  }
}

/** What is to be submitted. */
interface Submit {
  readonly id: string;
  readonly payload: unknown;
  /** Bytes of the object, if it is there. */
  readonly size?: number;
}

/** A request that names no object still becomes a run, so that somebody hears of it: the worker says what is wrong. */
async function fromRequest(
  payload: unknown,
  text: string,
  uploads: BucketReader,
  settings: TranscodeSettings,
  wantsSize: boolean,
): Promise<Submit> {
  const object = objectOf(payload);
  if (object === undefined) return { id: readableId("request", [text]), payload };
  const asked = payload as Readonly<Record<string, unknown>>;
  const given = typeof asked.etag === "string" ? asked.etag : undefined;
  const info = given === undefined || wantsSize ? await infoOf(object, uploads) : undefined;
  const etag = given ?? info?.etag;
  const pinned = etag === undefined ? asked : { ...asked, etag };
  const { size } = info ?? {};
  return { ...identify(pinned, object, etag ?? "", uploads.bucket, settings), ...(size !== undefined && { size }) };
}

/** A key that the bucket won't even look up is the worker's to complain of. */
const infoOf = async (object: string, uploads: BucketReader): Promise<ObjectInfo | undefined> => {
  try {
    return await uploads.head(object);
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
