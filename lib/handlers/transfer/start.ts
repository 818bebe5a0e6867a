import { MillraceError } from "../../runtime/errors.ts";
import type { SingleEvent } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { WorkflowStarter } from "../../runtime/ports.ts";
import type { WorkflowRun } from "../../runtime/workflows/run.ts";
import { parseBody, readableId } from "../tasks/dispatch.ts";
import { readRequest, type TransferRequest } from "./settings.ts";

export interface StartSettings {
  /** What a schedule copies: all objects whose keys begin so. */
  readonly prefix: string;
}

/** Turns uploads, schedules and messages into runs: one for the same event, however often it is delivered. */
export const handler: Handler<
  SingleEvent,
  { readonly flow: WorkflowStarter<unknown> },
  StartSettings,
  WorkflowRun | undefined
> = async (event, { links, settings, log }) => {
  const { id, request } = toStart(event, settings);
  if (event.type !== "queue.received") return links.flow.start(id, request);
  try {
    return await links.flow.start(id, readRequest(request));
  } catch (error) {
    if (!(error instanceof MillraceError && error.kind === "bad-input")) throw error;
    log.error("a message that is no request", { body: event.body.slice(0, 1000), error });
    throw error;
  }
};

function toStart(
  event: SingleEvent,
  { prefix }: StartSettings,
): { readonly id: string; readonly request: TransferRequest | unknown } {
  switch (event.type) {
    case "bucket.created": {
      const { bucket, key, etag } = event;
      return { id: readableId(key, [bucket, key, etag]), request: { object: key, etag } };
    }
    case "schedule.fired":
      return { id: readableId(event.schedule, [event.schedule, event.time]), request: { prefix } };
    case "queue.received":
      return { id: readableId(event.queue, [event.queue, event.id]), request: parseBody(event.body) };
    case "function.invoked":
      return { id: readableId("call", [event.id]), request: event.payload };
  }
}
