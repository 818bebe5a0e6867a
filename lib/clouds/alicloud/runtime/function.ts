import { newCall } from "../../../runtime/calls.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { FunctionInvoker } from "../../../runtime/ports.ts";
import type { AlicloudWorld } from "./account.ts";
import { Functions } from "./functions.ts";

/** A function of Function Compute: it gets its calls in an envelope, or, where it is a program, bare payloads. */
export function port(address: LinkAddress, world: AlicloudWorld): FunctionInvoker {
  const functions = new Functions(address, world);
  return {
    async invoke<Result>(payload: unknown): Promise<Result> {
      const name = field(address, "function");
      if (address.bare) return (await functions.call(name, JSON.stringify(payload ?? null))) as Result;
      return (await functions.invoke(name, JSON.stringify(newCall(payload, world.clock)))) as Result;
    },
  };
}
