import { appendFileSync } from "node:fs";
import type { Context, Envelope, FunctionInvoked } from "../../../lib/runtime/index.ts";

/** A hook that notes every call in a file outside of the cloud: event, run, and how that ended. */
export async function handler(
  { id, payload }: FunctionInvoked<Envelope>,
  { settings }: Context<unknown, { readonly book: string }>,
) {
  const { task } = payload;
  appendFileSync(settings.book, `${JSON.stringify({ event: id, run: task.id, status: task.status })}\n`);
}
