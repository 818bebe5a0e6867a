import { fileURLToPath } from "node:url";
import type { DeployableArgs } from "../../lib/bundle/deployable.ts";
import type { CloudKind, CodePlan } from "../../lib/parts/plan.ts";
import { OWN_TASK } from "../../lib/shared/environment.ts";

/** What is bundled on every cloud: our handlers, and one of a user's with a bucket, a queue and a table. */
export const HANDLERS = ["tasks/dispatch", "tasks/keep", "video/dispatch", "video/transcode", "a user's"] as const;
export type HandlerName = (typeof HANDLERS)[number];

export type DeployedCloud = Exclude<CloudKind, "local">;

/** The handler's code as the cloud deploys it. On this computer nobody is a keeper, and links go to the host. */
export function functionOn(cloud: CloudKind, handler: HandlerName, outdir: string): DeployableArgs {
  const plain = { handler: codeOf(handler), code: {}, settings: {}, install: [], outdir, machine: MACHINE };
  if (cloud === "local") return { ...plain, entry: fileOf("local", "entry"), target: "node24" };
  return {
    ...plain,
    entry: fileOf(cloud, ENTRIES[cloud][handler] ?? "entry"),
    ports: portsOf(cloud, handler),
    ...(cloud !== "kubernetes" && { exports: "handler" }),
    target: cloud === "alicloud" ? "node20" : "node24",
  };
}

const MACHINE = { os: "linux", cpu: "x64", libc: "glibc" } as const;

const codeOf = (handler: HandlerName): CodePlan =>
  handler === "a user's" ? { file: fileURLToPath(new URL("ledger.ts", import.meta.url)) } : { id: handler };

/** On Kubernetes a worker is a Job, and a keeper a process that is always there. */
const ENTRIES: Readonly<Record<DeployedCloud, Partial<Record<HandlerName, string>>>> = {
  alicloud: {},
  aws: {},
  kubernetes: { "tasks/keep": "keep", "video/transcode": "job" },
};

const STORES: Readonly<Record<DeployedCloud, Readonly<Record<"bucket" | "queue" | "table", string>>>> = {
  alicloud: { bucket: "oss", queue: "smq", table: "tablestore" },
  aws: { bucket: "s3", queue: "sqs", table: "dynamodb" },
  kubernetes: { bucket: "bucket", queue: "queue", table: "table" },
};

function portsOf(cloud: DeployedCloud, handler: HandlerName): Readonly<Record<string, string>> {
  const { bucket, queue, table } = STORES[cloud];
  const ports: Readonly<Record<HandlerName, Readonly<Record<string, string>>>> = {
    "tasks/dispatch": { task: "task" },
    "tasks/keep": { tasks: "keeper" },
    "video/dispatch": { task: "task", uploads: bucket },
    "video/transcode": { [OWN_TASK]: "own-task", uploads: bucket, outputs: bucket },
    "a user's": { store: bucket, orders: queue, rows: table },
  };
  return Object.fromEntries(Object.entries(ports[handler]).map(([link, file]) => [link, fileOf(cloud, file)]));
}

const fileOf = (cloud: CloudKind, name: string): string =>
  fileURLToPath(new URL(`../../lib/clouds/${cloud}/runtime/${name}.ts`, import.meta.url));
