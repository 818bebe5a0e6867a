import type { FunctionInvoked } from "../../../runtime/events.ts";
import type { Handler } from "../../../runtime/handler.ts";
import type { BucketReader, BucketRemover } from "../../../runtime/ports.ts";
import { runPrefix } from "./manifest.ts";

/** Whose objects are removed. */
export interface CleanPayload {
  readonly run: string;
}

export interface CleanLinks {
  readonly work: BucketReader & BucketRemover;
}

/** Removes all that lies under a run's id. */
export const handler: Handler<FunctionInvoked<CleanPayload>, CleanLinks, unknown, { removed: number }> = async (
  { payload: { run } },
  { links: { work } },
) => {
  let removed = 0;
  for (let after: string | undefined; ; ) {
    const page = await work.list({ prefix: runPrefix(run), ...(after !== undefined && { after }) });
    for (const { key } of page.objects) await work.remove(key);
    removed += page.objects.length;
    if (page.next === undefined) return { removed };
    after = page.next;
  }
};
