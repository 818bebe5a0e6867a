import { fileURLToPath } from "node:url";
import type { Archive } from "../../../bundle/archive.ts";
import { bundleFolder, deployable } from "../../../bundle/deployable.ts";
import type { FunctionPlan, PartKind } from "../../../parts/plan.ts";

const MACHINE = { os: "linux", cpu: "x64", libc: "glibc" } as const;

/**
 * The function's code with the ports of what it is linked to.
 *
 * @param entry what runs it: a process that waits for calls, a worker's, a keeper's, or that of a workflow's step
 */
export const codeOf = (
  plan: FunctionPlan,
  entry: "entry" | "job" | "keep" | "step" | "flow-keep",
  ports: Readonly<Record<string, string>>,
): Promise<Archive> =>
  deployable({
    handler: plan.handler,
    code: plan.code,
    settings: plan.settings,
    entry: runtimeFile(entry),
    ports,
    outdir: bundleFolder(),
    install: plan.install,
    target: "node24",
    machine: MACHINE,
  });

/** The code of a pod that does one thing and ends: sets up what is in NATS, publishes a call, or tells why a run failed. */
export const programOf = (name: "setup" | "publish" | "flow-failed"): Promise<Archive> =>
  deployable({
    handler: { file: runtimeFile(name) },
    code: {},
    settings: {},
    entry: runtimeFile("program"),
    outdir: bundleFolder(),
    install: [],
    target: "node24",
    machine: MACHINE,
  });

/** The modules that speak with parts of this cloud. */
export const PORTS: Readonly<Partial<Record<PartKind, string>>> = {
  bucket: "bucket",
  queue: "queue",
  table: "table",
  secret: "secret",
  volume: "volume",
  function: "function",
  task: "task",
  workflow: "workflow",
  stream: "kafka",
};

/** A module of the runtime beside this folder: as TypeScript in the repository, as JavaScript in the package. */
export const runtimeFile = (name: string): string =>
  fileURLToPath(new URL(`../runtime/${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));
