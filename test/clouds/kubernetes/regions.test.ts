import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { alicloud } from "../../../lib/clouds/alicloud/index.ts";
import { kubernetes } from "../../../lib/clouds/kubernetes/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { Copier, Keys, Store } from "../copier.ts";
import { deploy, inputsOf, listOf, settingsOf } from "./stack.ts";

let home: string;
let resources: readonly RegisteredResource[];
const before = process.cwd();

/** A function of a cluster, from a bucket of Alibaba Cloud to one of another cluster's store. */
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-regions-"));
  process.chdir(home);
  resources = await deploy((cloud) => {
    const store = {
      ...settingsOf().store,
      endpoint: "https://far.example.com:9443",
      insideEndpoint: "http://far.store",
    };
    const { first, second } = new Keys("keys", cloud);
    new Copier("mover", {
      cloud,
      from: new Store("oss", alicloud({ region: "cn-hangzhou" }), "their-files").files,
      to: new Store("far", kubernetes(settingsOf({ cluster: "far", store })), "far-files").files,
      keys: { from: first, to: second },
    });
  });
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const podOf = (name: string) => inputsOf(resources, "Deployment", name).spec.template.spec;

test("the addresses are those from outside, and name their keys", () => {
  // Kubernetes takes two dollars for one.
  const variables: readonly { readonly name: string; readonly value: string }[] = podOf("mover-copy").containers[0].env;
  const links = variables
    .filter(({ name }) => name.startsWith("MILLRACE_LINK_"))
    .map(({ value }) => JSON.parse(value.replaceAll("$$", "$")));
  expect(links.filter(({ kind }) => kind === "bucket")).toEqual([
    { kind: "bucket", part: "oss-files", bucket: "their-files", region: "cn-hangzhou", keys: "$keys.keys-first" },
    expect.objectContaining({
      part: "far-files",
      bucket: "far-files",
      endpoint: "https://far.example.com:9443",
      keys: "$keys.keys-second",
    }),
  ]);
});

test("keys are files of its pods", () => {
  const secrets = podOf("mover-copy").volumes.flatMap((volume: { secret?: { secretName: string } }) =>
    volume.secret ? [volume.secret.secretName] : [],
  );
  expect(secrets).toEqual(expect.arrayContaining(["first-keys", "second-keys"]));
});

test("its pods have a way to both stores, and nobody else's", () => {
  const { spec } = inputsOf(resources, "NetworkPolicy", "mover-copy-network");
  const { template } = inputsOf(resources, "Deployment", "mover-copy").spec;
  expect(template.metadata.labels).toMatchObject(spec.podSelector.matchLabels);
  expect(spec).toMatchObject({
    policyTypes: ["Egress"],
    egress: [{ ports: [{ protocol: "TCP", port: 443 }] }, { ports: [{ protocol: "TCP", port: 9443 }] }],
  });
  expect(listOf(resources).filter((name) => name.startsWith("NetworkPolicy") && name.includes("far"))).toEqual([]);
});
