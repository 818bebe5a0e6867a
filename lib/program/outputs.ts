import { isSecret, type Output, output, Resource } from "@pulumi/pulumi";

/** What a program exports, as plain JSON: outputs awaited, secrets hidden, resources by type and name. */
export async function readOutputs(exported: unknown): Promise<Readonly<Record<string, unknown>>> {
  if (typeof exported !== "object" || exported === null) return {};
  const entries = Object.entries(exported).filter(([, value]) => typeof value !== "function");
  return Object.fromEntries(await Promise.all(entries.map(async ([name, value]) => [name, await read(value)])));
}

async function read(value: unknown): Promise<unknown> {
  if (Resource.isInstance(value)) return toJson(value);
  const pending: Output<unknown> = output(value);
  const settled = await new Promise((resolve) => pending.apply(resolve));
  return (await isSecret(pending)) ? "[secret]" : toJson(settled);
}

function toJson(value: unknown): unknown {
  const text = JSON.stringify(value, (_, item: unknown) => {
    if (typeof item === "bigint") return String(item);
    return Resource.isInstance(item) ? nameOf(item) : item;
  });
  return text === undefined ? undefined : JSON.parse(text);
}

/** Pulumi keeps them on every resource, without a type. */
const nameOf = (resource: Resource): string => {
  const { __pulumiType: type, __name: name } = resource as { __pulumiType?: string; __name?: string };
  return `${type}::${name}`;
};
