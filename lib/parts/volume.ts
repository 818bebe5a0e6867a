import type { PartNames } from "./part.ts";
import type { VolumePlan } from "./plan.ts";

/** A file system shared by the functions that mount it. */
export interface VolumeSpec {
  /** Whether destroying the stack may delete the volume with all in it. @default it is kept */
  readonly removable?: boolean;
  /** A volume you have already, by its physical name. @default a new one is made */
  readonly existing?: string;
}

export const volumePlan = (names: PartNames, { removable = false, existing }: VolumeSpec): VolumePlan => ({
  kind: "volume",
  ...names,
  removable,
  ...(existing !== undefined && { existing }),
});
