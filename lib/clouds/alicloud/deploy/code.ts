import { fileURLToPath } from "node:url";
import type { Archive } from "../../../bundle/archive.ts";
import { bundleFolder, deployable } from "../../../bundle/deployable.ts";
import type { FunctionPlan, PartKind } from "../../../parts/plan.ts";

/** The function's code with the ports of what it is linked to. https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/nodejs */
export const codeOf = (plan: FunctionPlan, ports: Readonly<Record<string, string>>): Promise<Archive> =>
  deployable({
    handler: plan.handler,
    code: plan.code,
    settings: plan.settings,
    entry: runtimeFile("entry"),
    ports,
    exports: "handler",
    outdir: bundleFolder(),
    install: plan.install,
    target: "node20",
    machine: { os: "linux", cpu: "x64", libc: "glibc" },
  });

/** The modules that speak with parts of this cloud. */
export const PORTS: Readonly<Partial<Record<PartKind, string>>> = {
  bucket: "oss",
  queue: "smq",
  table: "tablestore",
  secret: "kms",
  volume: "volume",
  function: "function",
  task: "task",
  workflow: "workflow",
  stream: "kafka",
};

/** A module of the runtime beside this folder: as TypeScript in the repository, as JavaScript in the package. */
export const runtimeFile = (name: string): string =>
  fileURLToPath(new URL(`../runtime/${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));
