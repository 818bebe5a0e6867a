import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import type { VolumePlan } from "../../../parts/plan.ts";
import type { VolumeMount } from "../../../runtime/ports.ts";

/** The folder of a volume, in that of a local cloud. */
export const volumeFolder = (folder: string, volume: string): string => resolve(folder, "volumes", volume);

/** The local cloud's volumes: folders. */
export class Volumes {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes a volume, if it is not there; its files stay. */
  define({ name }: VolumePlan): VolumeMount {
    const path = volumeFolder(this.#folder, name);
    mkdirSync(path, { recursive: true });
    return { path };
  }
}
