import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, expect, test } from "vitest";
import { alicloud } from "../../../lib/clouds/alicloud/index.ts";
import { aws } from "../../../lib/clouds/aws/index.ts";
import { AsyncTask, code, outputOf } from "../../../lib/index.ts";
import { type RegisteredResource, typedMocks } from "../../../lib/program/mocks.ts";
import { TABLE as AWS } from "../aws/stack.ts";
import { Copier, Keys, Store } from "../copier.ts";
import { ACCOUNT, inputsOf, listOf, ofType, TABLE } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-regions-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

async function deploy(declare: () => unknown): Promise<readonly RegisteredResource[]> {
  const { mocks, watch, resources } = typedMocks({ ...TABLE, ...AWS });
  await pulumi.runtime.setMocks(mocks, "shop", "prod", false);
  await pulumi.runtime.runInPulumiStack(async () => {
    pulumi.runtime.registerStackTransformation(watch);
    declare();
    return {};
  });
  await pulumi.runtime.disconnect();
  return resources;
}

const region = (name: string) => alicloud({ region: name, account: ACCOUNT, contactGroups: [] });
const parsed = (text: unknown) => JSON.parse(text as string);

/** The addresses of a function's links, by the name of the link. */
const addressesOf = (resources: readonly RegisteredResource[], name: string) =>
  Object.entries<string>(inputsOf(resources, "V3Function", name).environmentVariables)
    .filter(([variable]) => variable.startsWith("MILLRACE_LINK_"))
    .map(([, address]) => parsed(address));

test("a function reaches a bucket of another region by its role, at that region's endpoint", async () => {
  const resources = await deploy(() => {
    const [here, there] = [region("cn-hangzhou"), region("cn-beijing")];
    const { files: to } = new Store("far", there);
    new Copier("mover", { cloud: here, from: new Store("near", here).files, to });
  });
  const bucketOf = (name: string) => inputsOf(resources, "Bucket", name).bucket;
  expect(addressesOf(resources, "mover-copy")).toEqual([
    { kind: "bucket", part: "near-files", bucket: bucketOf("near-files"), region: "cn-hangzhou" },
    { kind: "bucket", part: "far-files", bucket: bucketOf("far-files"), region: "cn-beijing" },
  ]);
  const { Statement } = parsed(inputsOf(resources, "Policy", "mover-copy-role-policy").policyDocument);
  expect(Statement).toContainEqual({
    Effect: "Allow",
    Action: ["oss:PutObject", "oss:AbortMultipartUpload", "oss:ListParts"],
    Resource: [`acs:oss:*:*:${bucketOf("far-files")}/*`],
  });
  expect(ofType(resources, "alicloud").map(({ inputs }) => inputs.region)).toEqual(["cn-beijing", "cn-hangzhou"]);
});

test("what two regions share has names of its own in each", async () => {
  const report = code<typeof import("../../../examples/async-task/report.ts")>(
    new URL("../../../examples/async-task/report.ts", import.meta.url),
  );
  const resources = await deploy(() => {
    for (const name of ["cn-hangzhou", "cn-beijing"]) {
      new AsyncTask(`reports-${name}`, { cloud: region(name), handler: report });
    }
  });
  const names = listOf(resources);
  expect(new Set(names).size).toBe(names.length);
  for (const [type, field] of [
    ["Bucket", "bucket"],
    ["Project", "projectName"],
    ["Role", "roleName"],
    ["Policy", "policyName"],
  ] as const) {
    const made = ofType(resources, type).map(({ inputs }) => inputs[field]);
    expect(made.length).toBeGreaterThan(1);
    expect(new Set(made).size, type).toBe(made.length);
  }
});

test("a bucket of AWS is reached by keys: its secret is read, its port is bundled, the role gets nothing more", async () => {
  const resources = await deploy(() => {
    const here = region("cn-hangzhou");
    const there = aws({ region: "eu-central-1", account: "123456789012" });
    const { first } = new Keys("keys", here);
    new Copier("mover", {
      cloud: here,
      from: new Store("near", here).files,
      to: new Store("far", there).files,
      keys: { to: first },
    });
    outputOf(here, there);
  });
  expect(addressesOf(resources, "mover-copy")).toEqual([
    { kind: "secret", part: "keys-first", secret: "first-keys", region: "cn-hangzhou" },
    expect.objectContaining({ part: "near-files" }),
    {
      kind: "bucket",
      part: "far-files",
      bucket: inputsOf(resources, "Bucket", "far-files").bucket,
      region: "eu-central-1",
      keys: "$keys.keys-first",
    },
  ]);
  const { Statement } = parsed(inputsOf(resources, "Policy", "mover-copy-role-policy").policyDocument) as {
    Statement: readonly { readonly Action: readonly string[]; readonly Resource: readonly string[] }[];
  };
  expect(Statement.flatMap(({ Action }) => Action).sort()).toEqual([
    "kms:GetSecretValue",
    "log:PostLogStoreLogs",
    "oss:DeleteObject",
    "oss:GetObject",
    "oss:ListObjects",
  ]);
  expect(JSON.stringify(Statement)).not.toContain("far-files");
});

test("the same region twice is refused before anything is made", async () => {
  let said: unknown;
  const resources = await deploy(() => {
    region("cn-hangzhou");
    try {
      region("cn-hangzhou");
    } catch (error) {
      said = error;
    }
  });
  expect(said).toMatchObject({ problems: [{ path: "alicloud-cn-hangzhou", message: /make it once/ }] });
  expect(resources).toEqual([]);
});
