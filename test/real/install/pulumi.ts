import { goTool } from "./go-tool.ts";

/** Builds the Pulumi CLI, without any language host or provider, once. `MILLRACE_PULUMI` names another one to use. */
export const installPulumi = async (): Promise<string> =>
  process.env.MILLRACE_PULUMI ??
  (await goTool({
    name: "pulumi",
    version: "v3.250.0",
    module: "github.com/pulumi/pulumi/pkg/v3",
    command: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    versionVariable: "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
  }));
