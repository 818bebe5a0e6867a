import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { VolumeMount } from "../../../runtime/ports.ts";

/** A file system that Lambda or Fargate has mounted already. */
export const port = (address: LinkAddress): VolumeMount => ({ path: field(address, "path") });
