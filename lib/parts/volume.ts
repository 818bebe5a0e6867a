import type { PartNames } from "./part.ts";
import type { VolumePlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** A file system shared by the functions that mount it. */
export interface VolumeSpec {
  /** Whether destroying the stack may delete the volume with all in it. @default it is kept */
  readonly removable?: boolean;
  /** A volume you have already, by its physical name. @default a new one is made */
  readonly existing?: string;
}

const OPTIONS = { removable: true, existing: true } satisfies Readonly<Record<keyof VolumeSpec, true>>;

export function volumePlan(names: PartNames, spec: VolumeSpec, units: Units): VolumePlan {
  units.options(spec, OPTIONS);
  const { removable = false, existing } = spec;
  return { kind: "volume", ...names, removable, ...(existing !== undefined && { existing }) };
}
