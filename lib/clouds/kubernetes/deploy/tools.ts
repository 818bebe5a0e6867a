import { bundleFolder } from "../../../bundle/deployable.ts";
import { toolArchive, toolSource } from "../../../bundle/tool.ts";
import type { Artifact, Site } from "./shared.ts";

/** The tools that a pod fetches, by their names. */
export const toolArtifacts = (site: Site, names: readonly string[]): Readonly<Record<string, Artifact>> =>
  Object.fromEntries(
    names.map((name) => [
      name,
      site.tool(name, () => toolArchive(name, toolSource(name, site.settings.tools)!, bundleFolder())),
    ]),
  );
