import { setTimeout as sleep } from "node:timers/promises";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { SourceEvent } from "../../../lib/runtime/events.ts";
import type { Context } from "../../../lib/runtime/handler.ts";
import type { QueueSender } from "../../../lib/runtime/ports.ts";

/** What the function says of every event it begins, and of those it has done. */
export interface Said {
  readonly begun?: SourceEvent;
  readonly done?: SourceEvent;
  readonly attempt: number;
  readonly process: number;
}

/** Does what the event's text says: `fail`, `refuse`, `sleep 2`, `hang`, `large`; anything else is answered. */
export const handler = async (event: SourceEvent, { links, run }: Context<{ said: QueueSender }>) => {
  const say = (what: Partial<Said>) =>
    links.said.send(JSON.stringify({ ...what, attempt: run.attempt, process: process.pid } satisfies Said));
  await say({ begun: event });
  const text = textOf(event);
  const [word, number] = text.split(" ");
  if (word === "fail") throw new Error("it failed");
  if (word === "refuse") throw new MillraceError("bad-input", "it can never work");
  if (word === "sleep") await sleep(Number(number) * 1000);
  if (word === "hang") await new Promise(() => setInterval(() => {}, 1000));
  if (word === "large") return "x".repeat(2 ** 20);
  await say({ done: event });
  return { text };
};

function textOf(event: SourceEvent): string {
  if (event.type === "function.invoked") return String(event.payload);
  if (event.type === "stream.consumed") return Buffer.from(event.records[0]!.value ?? []).toString();
  return "body" in event ? event.body : "";
}
