import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { CreateBucketCommand, GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { alicloud } from "../../lib/clouds/alicloud/index.ts";
import type { FunctionHandler } from "../../lib/clouds/alicloud/runtime/entry.ts";
import { aws } from "../../lib/clouds/aws/index.ts";
import { typedMocks } from "../../lib/program/mocks.ts";
import { FakeOss } from "../clouds/alicloud/fakes/oss.ts";
import { type FakeRequest, FakeServer, KEYS } from "../clouds/alicloud/fakes/server.ts";
import { ACCOUNT, inputsOf, TABLE, unzipped } from "../clouds/alicloud/stack.ts";
import { TABLE as AWS } from "../clouds/aws/stack.ts";
import { Copier, Keys, Store } from "../clouds/copier.ts";
import { type S3Server, startS3 } from "./servers/index.ts";

/** What the function itself has; none of the stores knows it. */
const OWN = { accessKeyId: "STS.function", accessKeySecret: "own-secret", securityToken: "own-token" };

/** Secrets by name, as Key Management Service answers them. */
const secrets = new Map<string, string>();
const asked: FakeRequest[] = [];
const kms = new FakeServer((request) => {
  asked.push(request);
  const value = secrets.get(request.query.SecretName ?? "");
  return value === undefined
    ? { status: 404, body: JSON.stringify({ Code: "Forbidden.ResourceNotFound", Message: "no such secret" }) }
    : { status: 200, body: JSON.stringify({ SecretData: value }) };
});

let home: string;
let store: S3Server;
let oss: FakeOss;
let call: (key: string) => Promise<unknown>;
/** All that the function has logged. */
let logged = "";
const before = process.cwd();

/** A function in Beijing: from a bucket of another account in Hangzhou to one of AWS, by the keys of each. */
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-keys-"));
  process.chdir(home);
  store = await startS3();
  const { mocks, watch, resources } = typedMocks({ ...TABLE, ...AWS });
  await pulumi.runtime.setMocks(mocks, "shop", "prod", false);
  await pulumi.runtime.runInPulumiStack(async () => {
    pulumi.runtime.registerStackTransformation(watch);
    const here = alicloud({ region: "cn-beijing", account: ACCOUNT });
    const { first, second } = new Keys("keys", here);
    new Copier("mover", {
      cloud: here,
      from: new Store("theirs", alicloud({ region: "cn-hangzhou", account: "2" })).files,
      to: new Store("far", aws({ region: store.region, account: "123456789012" })).files,
      keys: { from: first, to: second },
    });
    return {};
  });
  await pulumi.runtime.disconnect();
  const bucketOf = (name: string) => String(inputsOf(resources, "Bucket", name).bucket);
  oss = new FakeOss(bucketOf("theirs-files"));
  const endpoints: Record<string, string> = {
    "theirs-files": await oss.server.start(),
    "far-files": store.url,
    "keys-first": await kms.start(),
    "keys-second": kms.origin,
  };
  await s3().send(new CreateBucketCommand({ Bucket: bucketOf("far-files") }));
  const { environmentVariables } = inputsOf(resources, "V3Function", "mover-copy");
  for (const [name, value] of Object.entries<string>(environmentVariables)) {
    const address = name.startsWith("MILLRACE_LINK_") ? JSON.parse(value) : undefined;
    vi.stubEnv(name, address ? JSON.stringify({ ...address, endpoint: endpoints[address.part] }) : value);
  }
  const folder = join(home, "function");
  await mkdir(folder);
  const files = unzipped(inputsOf(resources, "BucketObject", "mover-copy-code").source);
  for (const [file, bytes] of Object.entries(files)) await writeFile(join(folder, file), bytes);
  const { handler } = (await import(pathToFileURL(join(folder, "index.mjs")).href)) as { handler: FunctionHandler };
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    logged += text;
    return true;
  });
  call = async (key) => {
    const event = { millrace: "call", id: "c-1", payload: { key }, time: new Date().toISOString() };
    const context = { requestId: "r-1", function: { timeout: 30 }, credentials: OWN };
    return JSON.parse(Buffer.from(await handler(Buffer.from(JSON.stringify(event)), context)).toString());
  };
  read = async (key) => {
    const { Body } = await s3().send(new GetObjectCommand({ Bucket: bucketOf("far-files"), Key: key }));
    return Body!.transformToString();
  };
});
let read: (key: string) => Promise<string>;

const s3 = () =>
  new S3Client({ region: store.region, endpoint: store.url, credentials: store.credentials, forcePathStyle: true });

afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  process.chdir(before);
  await Promise.all([store?.stop(), oss?.server.close(), kms.close()]);
  await rm(home, { recursive: true, force: true });
});

const good = () => {
  secrets.set("first-keys", JSON.stringify(KEYS));
  secrets.set("second-keys", JSON.stringify(store.credentials));
};
const put = (key: string, text: string) =>
  oss.objects.set(key, { bytes: Buffer.from(text), size: text.length, etag: "E", modified: Date.now(), headers: {} });
afterEach(() => {
  asked.length = 0;
  logged = "";
});

it("takes the keys of each bucket from its secret, and is linked to nothing more for that", async () => {
  good();
  put("cat.txt", "meow");
  expect(await call("cat.txt")).toEqual(["from", "to"]);
  expect(await read("cat.txt")).toBe("meow");
  expect(oss.objects.has("cat.txt")).toBe(false);
  // Each secret once in an invocation, in the function's own name.
  expect(asked.map(({ query }) => query.SecretName).sort()).toEqual(["first-keys", "second-keys"]);
  for (const { headers } of asked) expect(headers["x-acs-security-token"]).toBe(OWN.securityToken);
});

it("reads them anew at the next invocation: keys that were changed are used at once", async () => {
  good();
  secrets.set("first-keys", JSON.stringify({ ...KEYS, accessKeySecret: "old" }));
  put("dog.txt", "woof");
  await expect(call("dog.txt")).rejects.toThrow(/refused.*403 SignatureDoesNotMatch/);
  good();
  expect(await call("dog.txt")).toEqual(["from", "to"]);
  expect(await read("dog.txt")).toBe("woof");
});

it("says what is wrong with a secret, and nothing of what is in it", async () => {
  good();
  for (const text of ["AKIA-not-json", '{"accessKeyId":"AKIA-alone"}', "null", '"AKIA-text"']) {
    secrets.set("second-keys", text);
    const error = (await call("cat.txt").catch((thrown: unknown) => thrown)) as Error;
    expect(error.message).toContain('secret "keys-second" holds no keys: JSON is wanted');
    expect(`${error.message} ${error.stack} ${logged}`).not.toContain("AKIA");
  }
  secrets.delete("second-keys");
  await expect(call("cat.txt")).rejects.toThrow(/secret keys-second: 404/);
});

it("keeps keys out of environment and log", async () => {
  good();
  put("owl.txt", "hoot");
  await call("owl.txt");
  const everywhere = `${JSON.stringify(process.env)} ${logged}`;
  for (const secret of [KEYS.accessKeySecret, store.credentials.secretAccessKey]) {
    expect(everywhere).not.toContain(secret);
  }
});
