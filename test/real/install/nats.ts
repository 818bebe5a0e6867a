import { goTool } from "./go-tool.ts";

/** Builds a NATS server, once. `MILLRACE_NATS_SERVER` names another one to use. */
export const installNats = async (): Promise<string> =>
  process.env.MILLRACE_NATS_SERVER ??
  (await goTool({
    name: "nats-server",
    version: "v2.15.2",
    module: "github.com/nats-io/nats-server/v2",
    command: "github.com/nats-io/nats-server/v2",
  }));
