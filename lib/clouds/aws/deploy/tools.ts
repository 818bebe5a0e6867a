import type * as pulumi from "@pulumi/pulumi";
import type { Archive } from "../../../bundle/archive.ts";
import { bundleFolder } from "../../../bundle/deployable.ts";
import { toolArchive, toolSource } from "../../../bundle/tool.ts";
import { formatBytes } from "../../../shared/size.ts";
import type { Site } from "./shared.ts";

/** Layers are unpacked here. https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html */
const LAYER_FOLDER = "/opt/bin";

/** The layers of tools, and where a function finds each. */
export function toolLayers(site: Site, names: readonly string[]) {
  const layers: readonly pulumi.Output<string>[] = names.map((name) => site.layer(name, () => archiveOf(site, name)));
  return { layers, tools: Object.fromEntries(names.map((name) => [name, `${LAYER_FOLDER}/${name}`])) };
}

/** Code and layers of a function, unpacked. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const UNZIPPED_BYTES = 250 * 2 ** 20;

/**
 * @param tools that become layers with it; those a user has already are not known
 * @throws if the code and its tools do not fit into a function
 */
export async function checkSize(
  part: string,
  code: Promise<Archive>,
  tools: Readonly<Record<string, Promise<Archive>>>,
): Promise<void> {
  const pieces = Object.entries({ "the code": code, ...tools });
  const sizes = await Promise.all(pieces.map(async ([name, archive]) => [name, (await archive).unzipped] as const));
  const bytes = sizes.reduce((sum, [, size]) => sum + size, 0);
  if (bytes <= UNZIPPED_BYTES) return;
  const list = sizes.map(([name, size]) => `${name} ${formatBytes(size)}`).join(", ");
  throw new Error(
    `${part}.tools: unpacked they take ${formatBytes(bytes)} (${list}), and Lambda allows ${formatBytes(UNZIPPED_BYTES)} with the code: take smaller builds, or make it a task whose timeout is over 15 minutes, which runs on Fargate`,
  );
}

/** The archives of tools that no layer of the user's has. */
export const madeTools = (site: Site, names: readonly string[]): Readonly<Record<string, Promise<Archive>>> =>
  Object.fromEntries(
    names
      .filter((name) => site.settings.existing?.layers?.[name] === undefined)
      .map((name) => [name, archiveOf(site, name)]),
  );

/** The tool as `bin/<name>` in a zip, fetched once. */
export const archiveOf = (site: Site, name: string): Promise<Archive> =>
  site.once(`archive of ${name}`, () => toolArchive(name, toolSource(name, site.settings.tools)!, bundleFolder()));
