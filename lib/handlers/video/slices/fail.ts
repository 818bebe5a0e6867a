import type { FunctionInvoked } from "../../../runtime/events.ts";
import type { Handler } from "../../../runtime/handler.ts";
import type { BucketWriter } from "../../../runtime/ports.ts";
import { failureKey, type SlicesFailure } from "./manifest.ts";

/** What a run's slices failed with. */
export interface FailPayload extends SlicesFailure {
  readonly run: string;
}

export interface FailLinks {
  readonly work: BucketWriter;
}

/** Keeps what slices failed with for the task's run, which is told of it and tells others. */
export const handler: Handler<FunctionInvoked<FailPayload>, FailLinks, unknown, { key: string }> = async (
  { payload: { run, kind, message } },
  { links: { work } },
) => {
  const failure: SlicesFailure = { kind, message };
  const { key } = await work.put(failureKey(run), JSON.stringify(failure), { contentType: "application/json" });
  return { key };
};
