import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { VolumeMount } from "../../../runtime/ports.ts";

/** A file system that Function Compute has mounted already. */
export const port = (address: LinkAddress): VolumeMount => ({ path: field(address, "path") });
