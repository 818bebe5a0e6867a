import type { Context, Envelope, FunctionInvoked } from "../../lib/runtime/index.ts";

/** After every success: here a database would be told which files there are now. */
export async function handler({ payload: envelope }: FunctionInvoked<Envelope>, { log }: Context) {
  const { outputs } = JSON.parse(String(envelope.responsePayload)) as { outputs: { key: string }[] };
  log.info("in the catalog", { run: envelope.task.id, files: outputs.map(({ key }) => key) });
}
