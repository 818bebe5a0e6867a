import type { DeadLetter } from "../../lib/index.ts";
import type { Context, FunctionInvoked } from "../../lib/runtime/index.ts";

/** Compensation: what was promised for an order that nothing can be made of is taken back here. */
export async function handler({ payload }: FunctionInvoked<DeadLetter>, { log }: Context): Promise<void> {
  const { record, error } = payload;
  log.warn("an order is taken back", { offset: record.offset, partition: record.partition, reason: error.message });
}
