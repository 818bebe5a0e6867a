import type { LinkAddress, PortWorld } from "../../../runtime/deployment.ts";
import type { FunctionInvoker } from "../../../runtime/ports.ts";
import { sidecar } from "../../../runtime/sidecar.ts";

/** A program in a second container of the same Fargate task: they share its network. */
export const port = (address: LinkAddress, world: PortWorld): FunctionInvoker => sidecar(address, world);
