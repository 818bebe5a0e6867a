import { goTool } from "./go-tool.ts";

/** Builds an S3 server that keeps objects as files, once. `MILLRACE_VERSITYGW` names another one to use. */
export const installVersitygw = async (): Promise<string> =>
  process.env.MILLRACE_VERSITYGW ??
  (await goTool({
    name: "versitygw",
    version: "v1.8.0",
    module: "github.com/versity/versitygw",
    command: "github.com/versity/versitygw/cmd/versitygw",
  }));
