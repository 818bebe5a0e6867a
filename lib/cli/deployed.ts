import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { joinedSystem } from "../client/joined.ts";
import { deployedStreams } from "../client/streams.ts";
import { deployedClient, type StackOutput, type SystemClient } from "../client/system.ts";
import type { CloudKind, CloudPlan } from "../parts/plan.ts";
import { MillraceError } from "../runtime/errors.ts";
import type { DeployedSystem } from "../runtime/system.ts";

/** What opens a deployed stack; of each cloud, only the one that is asked for is loaded. */
const OPENERS: Readonly<Partial<Record<CloudKind, (output: StackOutput) => Promise<DeployedSystem>>>> = {
  alicloud: async (output) => (await import("../clouds/alicloud/client.ts")).openAlicloud(output),
  aws: async (output) => (await import("../clouds/aws/client.ts")).openAws(output),
  kubernetes: async (output) => (await import("../clouds/kubernetes/client.ts")).openKubernetes(output),
};

/**
 * The deployed system of a stack, by what it exports as `millrace`.
 *
 * @param stack a stack's name, which Pulumi is asked for; or a file ending in `.json`, as `pulumi stack output --json` prints it
 * @throws `not-found` if there is no such output, `refused` if it was not deployed to a cloud
 */
export async function connectToStack(stack: string): Promise<{ client: SystemClient; close: () => Promise<void> }> {
  const output = outputIn(stack.endsWith(".json") ? await readFile(stack, "utf8") : await askPulumi(stack), stack);
  const { clouds } = output.plan;
  const strange = clouds.map(({ kind }) => kind).filter((kind) => OPENERS[kind] === undefined);
  if (strange.length > 0 || clouds.length === 0) {
    const known = Object.keys(OPENERS).join(", ");
    const kinds = strange.join(", ") || "no cloud";
    throw new MillraceError("refused", `--stack ${stack}: it runs on ${kinds}; verbs reach ${known}`);
  }
  const system = joinedSystem(output.plan, (cloud) => OPENERS[cloud.kind]!(outputFor(output, cloud)));
  const streams = deployedStreams(output, process.env);
  return { client: deployedClient(output, system, streams), close: () => system.close() };
}

/** What a stack on one of its clouds alone would export. */
function outputFor({ plan, addresses }: StackOutput, cloud: CloudPlan): StackOutput {
  const parts = plan.parts.filter((part) => part.cloud === cloud.name);
  const names = new Set(parts.map(({ name }) => name));
  return {
    plan: { ...plan, clouds: [cloud], parts },
    addresses: Object.fromEntries(Object.entries(addresses).filter(([name]) => names.has(name))),
  };
}

async function askPulumi(stack: string): Promise<string> {
  // A name that begins with a dash would be an option of Pulumi's.
  if (!/^[\w.][\w./-]*$/.test(stack)) throw new MillraceError("bad-input", `--stack ${stack}: that is no stack's name`);
  try {
    const { stdout } = await run("pulumi", ["stack", "output", "--json", "--stack", stack], { maxBuffer: 2 ** 26 });
    return stdout;
  } catch (error) {
    const { code, stderr = "" } = error as NodeJS.ErrnoException & { readonly stderr?: string };
    if (code === "ENOENT")
      throw new MillraceError(
        "not-found",
        `--stack ${stack}: there is no command pulumi here; give a file instead, written by: pulumi stack output --json > ${stack.replaceAll("/", "-")}.json`,
      );
    throw new MillraceError("not-found", `--stack ${stack}: pulumi says: ${stderr.trim() || (error as Error).message}`);
  }
}

const run = promisify(execFile);

function outputIn(text: string, stack: string): StackOutput {
  const outputs = parsed(text) as { readonly millrace?: Partial<StackOutput> } & Partial<StackOutput>;
  const { plan, addresses } = outputs?.millrace ?? outputs ?? {};
  if (plan?.parts && addresses) return { plan, addresses };
  throw new MillraceError(
    "not-found",
    `--stack ${stack}: it has no output millrace; export it, and deploy again: export const millrace = cloud.output;`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
