import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundle } from "../../lib/bundle/bundle.ts";
import { fromPem } from "../../lib/shared/certificates.ts";
import { KafkaWorld } from "./kafka-world.ts";

const NODE20 = "/usr/bin/node";
const isNode20 = existsSync(NODE20) && execFileSync(NODE20, ["--version"]).toString().startsWith("v20.");
const PORT = fileURLToPath(new URL("../../lib/runtime/kafka/port.ts", import.meta.url));

let kafka: KafkaWorld;
let folder: string;
beforeAll(async () => {
  kafka = await KafkaWorld.start({ users: [{ username: "ann", password: "s3cret" }] });
  folder = await mkdtemp(join(tmpdir(), "millrace-kafka-bundle-"));
  await writeFile(join(folder, "handler.mjs"), HANDLER);
  await writeFile(join(folder, "entry.mjs"), "export const start = ({ handler, ports }) => handler(ports);");
});
afterAll(async () => {
  await kafka.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Sends, claims, commits, and says so; nothing ends it but that there is no more to do. */
const HANDLER = `
export async function handler(ports) {
  const { port, worldBy } = await ports.orders();
  const at = (time, callback) => { const timer = setTimeout(callback, Math.max(0, time - Date.now())); return () => clearTimeout(timer); };
  const plain = { signal: new AbortController().signal, clock: { now: () => Date.now(), at }, log: console, files: "/nowhere" };
  const world = worldBy(process.env.SECRET, plain, "user");
  const orders = port(JSON.parse(process.env.ADDRESS), world);
  await orders.send([{ key: "k", value: "sent" }]);
  const claim = await orders.claim(0);
  await claim.commit(1, [{ to: orders, records: [{ value: "committed" }] }]);
  console.log(process.version.split(".")[0], claim.next);
}
`;

const bundled = (target: "node20" | "node24", ports: Readonly<Record<string, string>>) =>
  bundle({
    handler: { file: join(folder, "handler.mjs") },
    code: {},
    settings: {},
    entry: join(folder, "entry.mjs"),
    outdir: join(folder, target),
    install: [],
    target,
    ports,
  });

async function runs(node: string, target: "node20" | "node24", isEncrypted = false): Promise<string> {
  const topic = await kafka.topic(1);
  const { file, bytes } = await bundled(target, { orders: PORT });
  expect(bytes).toBeLessThan(450_000);
  const address = {
    kind: "stream",
    part: "orders",
    topic,
    brokers: isEncrypted ? kafka.server.encrypted : kafka.server.guarded,
    tls: String(isEncrypted),
    mechanism: "scram-sha-512",
    group: `${topic}-done`,
    ...(isEncrypted && { ca: fromPem(await readFile(kafka.server.certificate, "utf8")) }),
  };
  const secret = JSON.stringify({ username: "ann", password: "s3cret" });
  // By itself, far from any node_modules.
  const env = { ADDRESS: JSON.stringify(address), SECRET: secret };
  const { stdout } = await promisify(execFile)(node, [file], { env, cwd: tmpdir() });
  expect((await kafka.read(topic)).map(({ value }) => Buffer.from(value!).toString())).toEqual(["sent", "committed"]);
  return stdout.trim();
}

test("a bundle speaks with Kafka by itself, and ends when it is done", async () => {
  expect(await runs(process.execPath, "node24")).toBe("v24 1");
});

test("over a connection that is encrypted, to brokers of an authority that nobody else knows", async () => {
  expect(await runs(process.execPath, "node24", true)).toBe("v24 1");
});

test.skipIf(!isNode20)("so does one on a real Node 20 (skipped where /usr/bin/node is another one)", async () => {
  expect(await runs(NODE20, "node20")).toBe("v20 1");
});

test("a bundle that links no stream has nothing of it", async () => {
  const { file, bytes } = await bundled("node20", {});
  expect(bytes).toBeLessThan(5_000);
  expect(await readFile(file, "utf8")).not.toContain("PRODUCER_FENCED");
});
