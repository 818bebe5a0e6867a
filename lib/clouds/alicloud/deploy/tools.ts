import type * as pulumi from "@pulumi/pulumi";
import { bundleFolder } from "../../../bundle/deployable.ts";
import { toolArchive, toolSource } from "../../../bundle/tool.ts";
import type { Site } from "./shared.ts";

/** Layers are unpacked here. https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/create-a-custom-layer-1 */
const LAYER_FOLDER = "/opt/bin";

/** The layers of tools, and where a function finds each. */
export function toolLayers(site: Site, names: readonly string[]) {
  const layers: readonly pulumi.Output<string>[] = names.map((name) =>
    site.layer(name, () => toolArchive(name, toolSource(name, site.settings.tools)!, bundleFolder())),
  );
  return { layers, tools: Object.fromEntries(names.map((name) => [name, `${LAYER_FOLDER}/${name}`])) };
}
