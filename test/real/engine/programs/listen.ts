import type { Context, SourceEvent } from "../../../../lib/runtime/index.ts";

/** Says what started it. */
export async function handler(event: SourceEvent, { log }: Context) {
  log.info("started", { event: JSON.stringify(event) });
}
