import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { BatchStart, ChunkEnd, ItemBatches } from "../../runtime/workflows/links.ts";

/** What the flows of a workflow ask of its batches of items. Numbers may come as texts. */
export type BatchCall =
  /** Has the items of a map done; the answer comes by the token. */
  | (BatchStart & { readonly verb: "begin"; readonly token: string })
  /** Tells how the items of one execution went. */
  | ({ readonly verb: "ended"; readonly batch: string; readonly chunk: number } & ChunkEnd)
  /** Ends a batch that nobody waits for any more. */
  | { readonly verb: "stop"; readonly batch: string };

/** Does maps that are wider than one execution carries. */
export const handler: Handler<FunctionInvoked<BatchCall>, { readonly batches: ItemBatches }> = async (
  { id, payload },
  { links: { batches } },
) => {
  try {
    await does(payload, id, batches);
    return {};
  } catch (error) {
    // Of another kind it would be answered; the call is to be made again, and who waits hears of the batch alone.
    const message = error instanceof Error ? error.message : String(error);
    throw new MillraceError("failed", message, { cause: error });
  }
};

async function does(call: BatchCall, id: string, batches: ItemBatches): Promise<void> {
  switch (call.verb) {
    case "begin": {
      const { verb: _, token, ...start } = call;
      const slash = id.indexOf("/");
      return batches.begin(start, token, { run: id.slice(0, slash), path: id.slice(slash + 1) });
    }
    case "ended":
      return batches.ended(call.batch, Number(call.chunk), call);
    case "stop":
      return batches.stop(call.batch);
    default:
      throw new MillraceError("bad-input", `verb: got ${JSON.stringify((call as { verb?: unknown }).verb)}`);
  }
}
