import type { LinkAddress, PortWorld } from "../../../runtime/deployment.ts";
import type { FunctionInvoker } from "../../../runtime/ports.ts";
import { sidecar } from "../../../runtime/sidecar.ts";

/** A program in another container of the same pod: they share its network. */
export const port = (address: LinkAddress, world: PortWorld): FunctionInvoker => sidecar(address, world);
