import type { Context, Envelope, FunctionInvoked } from "../../lib/runtime/index.ts";

/** After every failure, stop or expiry: here somebody would be called. */
export async function handler({ payload: envelope }: FunctionInvoked<Envelope>, { log }: Context) {
  const { id, status, error } = envelope.task;
  log.warn(`run ${id} ${status}`, { error: error?.message });
}
