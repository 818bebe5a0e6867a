import { join } from "node:path";
import type { Deployment } from "@pulumi/pulumi/automation/index.js";

/** A resource as a stack's state has it. */
interface StateResource {
  readonly type: string;
  readonly urn: string;
  readonly custom: boolean;
  readonly inputs?: Readonly<Record<string, unknown>>;
}

/** How the state marks a file. */
const SIGNATURE = "4dabf18193072939515e22adb298388d";

/**
 * The program of somebody who writes out every resource of a stack by hand: the provider's own classes, every value as
 * it is, nothing computed and nothing bundled.
 *
 * @param provider its package: `alicloud`
 * @param folder where the relative paths of files begin
 */
export function writtenOut(state: Deployment, provider: string, folder: string): string {
  const resources = (state.deployment.resources as readonly StateResource[]).filter(({ custom }) => custom);
  const region = resources.find(({ type }) => type === `pulumi:providers:${provider}`)?.inputs?.region;
  const made = resources.filter(({ type }) => type.startsWith(`${provider}:`));
  return [
    `import * as ${provider} from "@pulumi/${provider}";`,
    'import { asset } from "@pulumi/pulumi";',
    "",
    `const provider = new ${provider}.Provider("${provider}", ${JSON.stringify({ region })});`,
    ...made.map(({ type, urn, inputs = {} }) => {
      const name = JSON.stringify(urn.split("::").at(-1));
      return `new ${classOf(type)}(${name}, ${literal(inputs, folder)}, { provider });`;
    }),
    "",
  ].join("\n");
}

/** `alicloud:oss/bucket:Bucket` is `alicloud.oss.Bucket`. */
function classOf(type: string): string {
  const [provider, module, name] = type.split(":") as [string, string, string];
  return `${provider}.${module.split("/")[0]}.${name}`;
}

function literal(value: unknown, folder: string): string {
  if (Array.isArray(value)) return `[${value.map((one) => literal(one, folder)).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = value as Readonly<Record<string, unknown>>;
  if (fields[SIGNATURE] !== undefined)
    return `new asset.FileAsset(${JSON.stringify(join(folder, String(fields.path)))})`;
  const known = Object.entries(fields).filter(([name]) => !name.startsWith("__"));
  return `{ ${known.map(([name, inner]) => `${JSON.stringify(name)}: ${literal(inner, folder)}`).join(", ")} }`;
}
