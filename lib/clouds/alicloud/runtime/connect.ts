import type { Deployment, LinkAddress } from "../../../runtime/deployment.ts";
import type { AlicloudWorld } from "./account.ts";

/** The links of a handler: every linked part's port, by the link's name. */
export async function connect(
  ports: Deployment["ports"],
  links: Readonly<Record<string, LinkAddress>>,
  world: AlicloudWorld,
): Promise<Readonly<Record<string, object>>> {
  const entries = Object.entries(links).map(async ([name, address]) => {
    const load = ports[name];
    if (!load) throw new Error(`link ${name}: the bundle has no port for ${address.kind} "${address.part}"`);
    const { port } = await load();
    return [name, await port(address, world as never)] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
