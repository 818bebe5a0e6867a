import { expect, test } from "vitest";
import { readAccessKeys } from "../../lib/runtime/access-keys.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { connect, type Deployment, type LinkAddress, type PortWorld } from "../../lib/runtime/deployment.ts";
import { keysLink } from "../../lib/shared/environment.ts";

test("keys are read in the words of each cloud, and of anything else nothing is told", () => {
  const keys = { id: "i", secret: "s" };
  expect(readAccessKeys('{"accessKeyId":"i","accessKeySecret":"s"}', "k")).toEqual(keys);
  expect(readAccessKeys('{"accessKeyId":"i","secretAccessKey":"s","sessionToken":""}', "k")).toEqual(keys);
  for (const token of ["sessionToken", "securityToken"]) {
    const text = JSON.stringify({ accessKeyId: "i", accessKeySecret: "s", [token]: "t" });
    expect(readAccessKeys(text, "k")).toEqual({ ...keys, token: "t" });
  }
  for (const text of [
    "hush",
    "null",
    "[]",
    '"hush"',
    '{"accessKeyId":"hush"}',
    '{"accessKeyId":1,"accessKeySecret":"hush"}',
  ]) {
    expect(() => readAccessKeys(text, "k")).toThrow(/^secret "k" holds no keys: JSON is wanted(?!.*hush)/);
  }
});

const SECRET = keysLink("vault");
const world = {
  signal: new AbortController().signal,
  clock: systemClock,
  log: { debug() {}, info() {}, warn() {}, error() {} },
  files: "/tmp",
  region: "here",
};
const bucket = (part: string, keys?: string): LinkAddress => ({ kind: "bucket", part, ...(keys && { keys }) });
const addresses = (links: Readonly<Record<string, LinkAddress>>) => ({
  ...links,
  [SECRET]: { kind: "secret", part: "vault" } as LinkAddress,
});

/** Ports that answer what they were given, and a secret that counts how often it is read. */
function portsWith(value: () => Promise<string>) {
  const port = (address: LinkAddress, given: PortWorld) => ({ part: address.part, given });
  const worldBy = (secret: string, plain: PortWorld, name: string) => ({
    ...plain,
    keys: readAccessKeys(secret, name),
  });
  const keyed = { port, worldBy };
  const ports: Deployment["ports"] = {
    own: async () => ({ port }),
    far: async () => keyed,
    further: async () => keyed,
    deaf: async () => ({ port }),
    [SECRET]: async () => ({ port: () => ({ value }) }),
  };
  return ports;
}

test("a port by keys gets them and the plain world; the secret is read once, and is no link", async () => {
  let reads = 0;
  const ports = portsWith(async () => {
    reads += 1;
    return '{"accessKeyId":"i","accessKeySecret":"s"}';
  });
  const links = addresses({ own: bucket("a"), far: bucket("b", SECRET), further: bucket("c", SECRET) });
  const { region: _, ...plain } = world;
  const keys = { id: "i", secret: "s" };
  expect(await connect(ports, links, world)).toEqual({
    own: { part: "a", given: world },
    far: { part: "b", given: { ...plain, keys } },
    further: { part: "c", given: { ...plain, keys } },
  });
  expect(reads).toBe(1);
});

test("what is missing is named: the secret, a port that takes keys, the value", async () => {
  const ports = portsWith(async () => "hush");
  await expect(connect(ports, { far: bucket("b", SECRET) }, world)).rejects.toThrow(
    "link far: the secret with its keys is not linked",
  );
  await expect(connect(ports, addresses({ far: bucket("b", SECRET) }), world)).rejects.toThrow(
    'secret "vault" holds no keys',
  );
  const good = portsWith(async () => '{"accessKeyId":"i","accessKeySecret":"s"}');
  await expect(connect(good, addresses({ deaf: bucket("b", SECRET) }), world)).rejects.toThrow(
    "link deaf: its port takes no keys",
  );
});
