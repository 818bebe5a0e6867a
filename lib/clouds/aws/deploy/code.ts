import { fileURLToPath } from "node:url";
import type { Archive } from "../../../bundle/archive.ts";
import { bundleFolder, deployable } from "../../../bundle/deployable.ts";
import type { FunctionPlan, PartKind, PartPlan } from "../../../parts/plan.ts";

/**
 * The function's code with the ports of what it is linked to. https://docs.aws.amazon.com/lambda/latest/dg/nodejs-package.html
 *
 * @param entry what it runs in: Lambda calls it, a container starts it
 */
export const codeOf = (
  plan: FunctionPlan,
  ports: Readonly<Record<string, string>>,
  entry: "entry" | "container",
): Promise<Archive> =>
  deployable({
    handler: plan.handler,
    code: plan.code,
    settings: plan.settings,
    entry: runtimeFile(entry),
    ports,
    ...(entry === "entry" && { exports: "handler" }),
    outdir: bundleFolder(),
    install: plan.install,
    target: "node24",
    machine: { os: "linux", cpu: "x64", libc: "glibc" },
  });

/** The modules that speak with parts of this cloud. */
export const PORTS: Readonly<Partial<Record<PartKind, string>>> = {
  bucket: "s3",
  queue: "sqs",
  table: "dynamodb",
  secret: "secrets",
  volume: "volume",
  function: "function",
  task: "task",
  workflow: "workflow",
  stream: "kafka",
};

/** The module that speaks with a part: an image is beside its caller. */
export const portOf = (plan: PartPlan): string =>
  plan.kind === "function" && plan.program && "image" in plan.program ? "sidecar" : PORTS[plan.kind]!;

/** A module of the runtime beside this folder: as TypeScript in the repository, as JavaScript in the package. */
export const runtimeFile = (name: string): string =>
  fileURLToPath(new URL(`../runtime/${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));
