import * as pulumi from "@pulumi/pulumi";
import { type KubernetesSettings, kubernetes } from "../../../lib/clouds/kubernetes/index.ts";
import type { Cloud } from "../../../lib/parts/cloud.ts";
import { type MockTable, type RegisteredResource, typedMocks } from "../../../lib/program/mocks.ts";
import { tool } from "../tools.ts";

/** An object's id is where it is. */
const object: MockTable[string] = {
  id: (_, { metadata }) => {
    const { namespace, name } = metadata as { readonly namespace?: string; readonly name: string };
    return namespace === undefined ? name : `${namespace}/${name}`;
  },
  outputs: () => ({}),
};

const named = (field: string): MockTable[string] => ({ id: (_, inputs) => String(inputs[field]), outputs: () => ({}) });

/** What the providers answer beside their inputs. */
const TABLE: MockTable = {
  "kubernetes:core/v1:Namespace": object,
  "kubernetes:core/v1:ServiceAccount": object,
  "kubernetes:core/v1:ConfigMap": object,
  "kubernetes:core/v1:Secret": object,
  "kubernetes:core/v1:PersistentVolumeClaim": object,
  "kubernetes:apps/v1:Deployment": object,
  "kubernetes:batch/v1:Job": object,
  "kubernetes:batch/v1:CronJob": object,
  "kubernetes:policy/v1:PodDisruptionBudget": object,
  "kubernetes:networking.k8s.io/v1:NetworkPolicy": object,
  "kubernetes:rbac.authorization.k8s.io/v1:Role": object,
  "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": object,
  "kubernetes:keda.sh/v1alpha1:ScaledObject": object,
  "kubernetes:keda.sh/v1alpha1:TriggerAuthentication": object,
  "kubernetes:kafka.strimzi.io/v1beta2:KafkaTopic": object,
  "kubernetes:argoproj.io/v1alpha1:WorkflowTemplate": object,
  "kubernetes:monitoring.coreos.com/v1:PrometheusRule": object,
  "aws:s3/bucket:Bucket": named("bucket"),
  "aws:s3/bucketVersioning:BucketVersioning": named("bucket"),
  "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": named("bucket"),
  "aws:s3/bucketObjectv2:BucketObjectv2": named("key"),
  "pulumi:providers:kubernetes": { id: () => "kubernetes", outputs: () => ({}) },
  "pulumi:providers:aws": { id: () => "store", outputs: () => ({}) },
};

/** Not to be found in anything but Secrets and providers. */
export const SECRET_KEY = "the-stores-secret-key";

const SETTINGS: KubernetesSettings = {
  nats: { url: "nats://nats.nats.svc.cluster.local:4222" },
  store: {
    endpoint: "https://s3.example.com",
    insideEndpoint: "http://store.stores.svc.cluster.local:9000",
    keys: { accessKey: "the-stores-access-key", secretKey: SECRET_KEY },
  },
  alarms: "prometheus-operator",
  tools: { ffmpeg: tool("ffmpeg"), ffprobe: tool("ffprobe") },
};

/** Settings that need nobody, changed in part. */
export const settingsOf = (changed: Partial<KubernetesSettings> = {}): KubernetesSettings => ({
  ...SETTINGS,
  ...changed,
});

/** Everything a program registers on this cloud, in the order it was registered. */
export async function deploy(
  declare: (cloud: Cloud) => unknown,
  changed: Partial<KubernetesSettings> = {},
  secrets: Readonly<Record<string, string>> = {},
): Promise<readonly RegisteredResource[]> {
  const { mocks, watch, resources } = typedMocks(TABLE);
  await pulumi.runtime.setMocks(mocks, "shop", "prod", false);
  const config = { "shop:token": "s3cret", ...secrets };
  pulumi.runtime.setAllConfig(config, Object.keys(config));
  await pulumi.runtime.runInPulumiStack(async () => {
    // Constructs stand beside the cloud, not under it: what must be known of every resource is said at the root.
    pulumi.runtime.registerStackTransformation(watch);
    declare(kubernetes(settingsOf(changed)));
    return {};
  });
  await pulumi.runtime.disconnect();
  return resources;
}

/** `Deployment videos-transcode-dispatch`, sorted. */
export const listOf = (resources: readonly RegisteredResource[]): readonly string[] =>
  resources.map(({ type, name }) => `${type.split(":").at(-1)} ${name}`).sort();

/** What a resource was given. */
export function inputsOf(resources: readonly RegisteredResource[], type: string, name: string) {
  const found = resources.find((one) => one.type.endsWith(`:${type}`) && one.name === name);
  if (!found) throw new Error(`there is no ${type} ${name}; there are: ${listOf(resources).join(", ")}`);
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what is there
  return found.inputs as Readonly<Record<string, any>>;
}

export const ofType = (resources: readonly RegisteredResource[], type: string): readonly RegisteredResource[] =>
  resources.filter((one) => one.type.endsWith(`:${type}`));
