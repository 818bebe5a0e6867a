import type { SingleEvent } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { TaskSubmitter } from "../../runtime/ports.ts";
import type { Task } from "../../runtime/tasks/task.ts";
import { shortHash } from "../../shared/name.ts";

/**
 * Turns events into submits of a task. The same event gives the same id, however often it is delivered:
 * no event source can set a task's id itself.
 */
export const handler: Handler<SingleEvent, { readonly task: TaskSubmitter }, unknown, Task> = async (
  event,
  { links },
) => {
  const { id, payload } = toSubmit(event);
  const options = event.type === "function.invoked" ? event.options : { event: event.id };
  return links.task.submit(id, payload, { by: "dispatcher", ...options });
};

/** The id and payload a bare event stands for. */
export function toSubmit(event: SingleEvent): { readonly id: string; readonly payload: unknown } {
  switch (event.type) {
    case "bucket.created": {
      const { bucket, key, etag, size } = event;
      return { id: readableId(key, [bucket, key, etag]), payload: { bucket, object: key, etag, size } };
    }
    case "queue.received":
      return { id: readableId(event.queue, [event.queue, event.id]), payload: parseBody(event.body) };
    case "schedule.fired":
      return {
        id: readableId(event.schedule, [event.schedule, event.time]),
        payload: { schedule: event.schedule, time: event.time },
      };
    case "function.invoked":
      return { id: readableId("call", [event.id]), payload: event.payload };
  }
}

/** A few readable characters, then a hash of all that makes it the same run. */
export const readableId = (label: string, identity: readonly string[]): string => {
  const stem = label
    .split("/")
    .at(-1)!
    .replace(/[^A-Za-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40);
  return `${stem || "run"}-${shortHash(identity.join("\0"), 12)}`;
};

/** A message's JSON, or its text where it is none: the worker says what it thinks of that. */
export function parseBody(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}
