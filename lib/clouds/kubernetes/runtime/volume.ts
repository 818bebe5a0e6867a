import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { VolumeMount } from "../../../runtime/ports.ts";

/** A claim of storage that the pod has mounted already. */
export const port = (address: LinkAddress): VolumeMount => ({ path: field(address, "path") });
