import { goTool } from "./go-tool.ts";

/** The Pulumi CLI, without any language host or provider: `.cache/pulumi-3.250.0/pulumi`. */
export const installPulumi = (): Promise<string> =>
  goTool({
    name: "pulumi",
    version: "v3.250.0",
    module: "github.com/pulumi/pulumi/pkg/v3",
    command: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    versionVariable: "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
  });
