import { type ToolSource, toolArchive } from "../../../bundle/tool.ts";
import { type Artifact, bundleFolder, type Site } from "./shared.ts";

/** The tools that a pod fetches, by their names. */
export const toolArtifacts = (site: Site, names: readonly string[]): Readonly<Record<string, Artifact>> =>
  Object.fromEntries(
    names.map((name) => [name, site.tool(name, () => toolArchive(name, toolSource(site, name)!, bundleFolder()))]),
  );

/** Where a tool comes from; nothing if nobody said. */
const toolSource = (site: Site, name: string): ToolSource | undefined =>
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
