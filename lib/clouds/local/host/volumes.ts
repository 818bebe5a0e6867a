import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import type { VolumePlan } from "../../../parts/plan.ts";
import type { VolumeMount } from "../../../runtime/ports.ts";

/** The local cloud's volumes: folders. */
export class Volumes {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = resolve(folder, "volumes");
  }

  /** Makes a volume, if it is not there; its files stay. */
  define({ name }: VolumePlan): VolumeMount {
    const path = resolve(this.#folder, name);
    mkdirSync(path, { recursive: true });
    return { path };
  }
}
