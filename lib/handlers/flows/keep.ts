import type { ScheduleFired } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { LateRuns } from "../../runtime/workflows/links.ts";

/**
 * Does for a workflow what its service does not: runs that take longer than the workflow allows are ended, and batches
 * of items go on whose executions ended without a word.
 */
export const handler: Handler<ScheduleFired, { readonly runs: LateRuns }> = async (_, { links: { runs }, log }) => {
  const stopped = await runs.stopLate();
  if (stopped > 0) log.warn(`${stopped} runs took longer than the workflow allows, and were ended`);
  return { stopped, batches: await runs.lookAfterBatches() };
};
