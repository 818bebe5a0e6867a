import type * as pulumi from "@pulumi/pulumi";
import type { Archive } from "../../../bundle/archive.ts";
import { type ToolSource, toolArchive } from "../../../bundle/tool.ts";
import { bundleFolder, type Site } from "./shared.ts";

/** Layers are unpacked here. https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html */
const LAYER_FOLDER = "/opt/bin";

/** The layers of tools, and where a function finds each. */
export function toolLayers(site: Site, names: readonly string[]) {
  const layers: readonly pulumi.Output<string>[] = names.map((name) => site.layer(name, () => archiveOf(site, name)));
  return { layers, tools: Object.fromEntries(names.map((name) => [name, `${LAYER_FOLDER}/${name}`])) };
}

/** The tool as `bin/<name>` in a zip, fetched once. */
export const archiveOf = (site: Site, name: string): Promise<Archive> =>
  site.once(`archive of ${name}`, () => toolArchive(name, toolSource(site, name)!, bundleFolder()));

/** Where a tool comes from; nothing if nobody said. */
export const toolSource = (site: Site, name: string): ToolSource | undefined =>
  site.settings.tools?.[name] ?? DEFAULT_TOOLS[name];

/** Static builds, for who names none: old ones. */
export const DEFAULT_TOOLS: Readonly<Record<string, ToolSource>> = {
  ffmpeg: {
    package: "@ffmpeg-installer/linux-x64@4.1.0",
    file: "ffmpeg",
    sha256: "6d0c625dbd3f604ed2618981ba6fee7e29678855ab741d654cfc9effb0226624",
  },
  ffprobe: {
    package: "@ffprobe-installer/linux-x64@5.2.0",
    file: "ffprobe",
    sha256: "576c21674291ec1948d507ea8ab0d78eb6621a0be8c6f1a6db0f50c5fcb1e0f9",
  },
};
