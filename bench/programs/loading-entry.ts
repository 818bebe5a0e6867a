import type { Clock } from "../../lib/runtime/clock.ts";
import type { Deployment, LinkAddress, PortWorld } from "../../lib/runtime/deployment.ts";

/** An entry that opens all ports of a bundle, as a function's first invocation does, and asks them for nothing. */
export async function start({ ports }: Deployment): Promise<void> {
  for (const load of Object.values(ports)) {
    const { port } = await load();
    await port(ADDRESS, WORLD as never);
  }
}

/** What the ports of any cloud look for. */
const NAMES = "bucket queue table subject keeper worker dispatcher machine claims namespace logs account instance job";
const ADDRESS: LinkAddress = {
  ...Object.fromEntries(NAMES.split(" ").map((name) => [name, "bench"])),
  kind: "task",
  part: "bench",
  region: "eu-central-1",
  platform: "lambda",
  endpoint: "http://127.0.0.1:9",
  definition: JSON.stringify({ name: "bench" }),
  queues: "{}",
  functions: "{}",
};

const nothing = () => {};
const clock: Clock = { now: () => 0, at: () => nothing };
const WORLD: PortWorld & Readonly<Record<string, unknown>> = {
  signal: new AbortController().signal,
  clock,
  log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  files: "",
  region: "eu-central-1",
  prefix: "bench",
  nats: async () => ({}),
  credentials: async () => ({ accessKeyId: "bench", secretAccessKey: "bench" }),
};
