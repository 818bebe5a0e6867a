import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import {
  ApiException,
  AuthorizationV1Api,
  BatchV1Api,
  CoreV1Api,
  type KubeConfig,
  type KubernetesObject,
  RbacAuthorizationV1Api,
  type V1PodSpec,
} from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AsyncTask, VideoTranscodePipeline } from "../../lib/index.ts";
import { type Cloud, code } from "../../lib/parts/index.ts";
import type { RegisteredResource } from "../../lib/program/mocks.ts";
import { deploy } from "../clouds/kubernetes/stack.ts";
import { scores } from "../clouds/programs.ts";
import { applyKedaCrds, type KubernetesServer, startKubernetes } from "./servers/index.ts";

const report = code<typeof import("../../examples/async-task/report.ts")>(
  new URL("../../examples/async-task/report.ts", import.meta.url),
);

/** As the programs in `stacks/` declare them. */
const STACKS = {
  videos: (cloud: Cloud) => new VideoTranscodePipeline("videos", { cloud, formats: ["mp4", "flv", "m3u8"] }),
  tasks: (cloud: Cloud) => new AsyncTask("reports", { cloud, handler: report, timeout: "2 hours", concurrency: 4 }),
  programs: (cloud: Cloud) =>
    scores(cloud, { memory: "1 GB", gpu: { type: "NVIDIA-A10", memory: 20 * 2 ** 30 } }, { clean: {} }),
} as const;

const DISPATCHERS: Readonly<Record<keyof typeof STACKS, string>> = {
  videos: "videos-transcode-d",
  tasks: "reports-task-d",
  programs: "scores-task-d",
};

interface Manifest extends KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what is there
  readonly [field: string]: any;
}

/** Rules of Prometheus are of an operator whose kinds are not here. */
const UNKNOWN_KINDS = ["PrometheusRule"];

const manifestsIn = (resources: readonly RegisteredResource[]): readonly Manifest[] =>
  resources
    .filter(({ type }) => type.startsWith("kubernetes:"))
    .map(({ inputs }) => plain(inputs) as Manifest)
    .filter(({ kind }) => !UNKNOWN_KINDS.includes(kind));

/** Without the marks of what Pulumi encrypts. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("4dabf18193072939515e22adb298388d" in value) return plain((value as { readonly value?: unknown }).value);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

let server: KubernetesServer;
let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-manifests-"));
  process.chdir(home);
  server = await startKubernetes();
  await applyKedaCrds(server);
});
afterAll(async () => {
  await server?.stop();
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

/** What each kind is called in a path. */
const PLURALS: Readonly<Record<string, string>> = { NetworkPolicy: "networkpolicies" };

/** As Pulumi does, and with nothing between that would leave out what it does not know, as a typed client does. */
async function apply(manifest: Manifest, dryRun = false): Promise<Answer> {
  const { apiVersion, kind, metadata } = manifest;
  const plural = PLURALS[kind] ?? `${kind.toLowerCase()}s`;
  const group = apiVersion.includes("/") ? `apis/${apiVersion}` : `api/${apiVersion}`;
  const place = metadata.namespace === undefined ? "" : `namespaces/${metadata.namespace}/`;
  const query = `fieldManager=millrace&force=true&fieldValidation=Strict${dryRun ? "&dryRun=All" : ""}`;
  const url = `${server.url}/${group}/${place}${plural}/${metadata.name}?${query}`;
  const headers = { authorization: `Bearer ${server.adminToken}`, "content-type": "application/apply-patch+yaml" };
  const sent = request(url, { method: "PATCH", headers, rejectUnauthorized: false });
  sent.end(JSON.stringify(manifest));
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return { status: response.statusCode!, body: (await json(response)) as Answer["body"] };
}

interface Answer {
  readonly status: number;
  readonly body: { readonly message?: string; readonly metadata: { readonly generation?: number } };
}

/** The administrator, as somebody else. */
function as(user: string): KubeConfig {
  const config = server.config();
  const { clusters, contexts, currentContext } = config;
  config.loadFromOptions({
    clusters,
    contexts,
    currentContext,
    users: config.users.map((one) => ({ ...one, impersonateUser: user })),
  });
  return config;
}

/** What the server answers a call with: its status, 200 for every success. */
const statusOf = (call: Promise<unknown>): Promise<number> =>
  call.then(
    () => 200,
    (error: unknown) => {
      if (error instanceof ApiException) return error.code;
      throw error;
    },
  );

describe.each(Object.entries(STACKS))("the stack %s", (stack, declare) => {
  let manifests: readonly Manifest[];
  let namespace: string;
  const ofKind = (kind: string) => manifests.filter((one) => one.kind === kind);
  const accountOf = (name: string) => `system:serviceaccount:${namespace}:${name}`;
  const nameWith = (kind: string, start: string) =>
    ofKind(kind).find(({ metadata }) => metadata.name.startsWith(start))!.metadata.name;

  beforeAll(async () => {
    namespace = `stack-${stack}`;
    manifests = manifestsIn(await deploy(declare, { namespace }));
  });

  test("every manifest is one that the API server takes, and takes again", async () => {
    const kinds = new Set(manifests.map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual(
      expect.arrayContaining(["ConfigMap", "CronJob", "Deployment", "Job", "Namespace", "Role", "ScaledObject"]),
    );
    for (const round of ["made", "left as it is"]) {
      for (const manifest of manifests) {
        const { status, body } = await apply(manifest);
        const name = `${manifest.kind} ${manifest.metadata.name} is ${round}`;
        expect([name, body.message, status < 300]).toEqual([name, undefined, true]);
        expect([name, body.metadata.generation ?? 1]).toEqual([name, 1]);
      }
    }
  });

  test("a field that there is not, and a name that is none, are refused", async () => {
    const [deployment] = ofKind("Deployment");
    const wrong = { ...deployment!, spec: { ...deployment!.spec, replica: 1 } };
    const { status, body } = await apply(wrong, true);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(body.message).toContain("replica");
    const [scaled] = ofKind("ScaledObject");
    const named = { ...scaled!, metadata: { ...scaled!.metadata, name: "With_Case" } };
    expect(await apply(named, true)).toMatchObject({ status: 422 });
  });

  test("every pod is one that its namespace lets in, and a careless one is not", async () => {
    const pods = manifests.flatMap(({ kind, metadata, spec }) => {
      const template = kind === "CronJob" ? spec.jobTemplate.spec.template : spec?.template;
      return template ? [[`${kind} ${metadata.name}`, template.spec as V1PodSpec] as const] : [];
    });
    expect(pods.length).toBeGreaterThan(4);
    const core = server.config().makeApiClient(CoreV1Api);
    const create = (spec: V1PodSpec) =>
      core.createNamespacedPod({ namespace, body: { metadata: { generateName: "tried-" }, spec }, dryRun: "All" });
    for (const [name, spec] of pods) {
      await expect(create(spec), name).resolves.toMatchObject({ metadata: { namespace } });
      const { securityContext: _, ...careless } = spec;
      await expect(create(careless), name).rejects.toMatchObject({ code: 403 });
    }
  });

  test("who may do what: the keeper its few things, and nobody else anything", async () => {
    const keeper = ofKind("RoleBinding")[0]!.subjects[0].name as string;
    const accounts = ofKind("ServiceAccount").map(({ metadata }) => metadata.name);
    expect(accounts).toContain(keeper);
    expect(accounts.length).toBeGreaterThanOrEqual(4);
    for (const account of accounts.filter((one) => one !== keeper)) {
      expect([account, await rulesOf(accountOf(account), namespace)]).toEqual([account, []]);
    }
    const worker = keptCronJob();
    expect(await grantedTo(accountOf(keeper), namespace, worker)).toEqual(
      [
        ...["create", "get", "list", "watch", "delete"].map((verb) => `${verb} jobs`),
        `get cronjobs/${worker}`,
        "list pods",
      ].sort(),
    );
  });

  test("what is granted goes, and what is not is refused, by real calls", async () => {
    const keeper = as(accountOf(ofKind("RoleBinding")[0]!.subjects[0].name));
    const dispatcher = as(accountOf(nameWith("Deployment", DISPATCHERS[stack as keyof typeof STACKS])));
    const worker = keptCronJob();
    const { spec } = ofKind("CronJob").find(({ metadata }) => metadata.name === worker)!.spec.jobTemplate;
    const job = { metadata: { name: "an-attempt" }, spec };
    const create = (config: KubeConfig, where = namespace) =>
      statusOf(config.makeApiClient(BatchV1Api).createNamespacedJob({ namespace: where, body: job }));
    expect(await create(dispatcher)).toBe(403);
    expect(await create(keeper, "default")).toBe(403);
    expect(await create(keeper)).toBe(200);
    const [batch, core] = [keeper.makeApiClient(BatchV1Api), keeper.makeApiClient(CoreV1Api)];
    expect((await batch.listNamespacedJob({ namespace })).items.map(({ metadata }) => metadata!.name)).toContain(
      "an-attempt",
    );
    expect(await statusOf(batch.readNamespacedCronJob({ namespace, name: worker }))).toBe(200);
    expect(await statusOf(batch.listNamespacedCronJob({ namespace }))).toBe(403);
    expect(await statusOf(core.listNamespacedPod({ namespace }))).toBe(200);
    expect(await statusOf(core.listNamespacedSecret({ namespace }))).toBe(403);
    expect(await statusOf(core.createNamespacedPod({ namespace, body: { spec: spec.template.spec } }))).toBe(403);
    const others = batch.patchNamespacedCronJob({ namespace, name: worker, body: { spec: { suspend: false } } });
    expect(await statusOf(others)).toBe(403);
    const rbac = keeper.makeApiClient(RbacAuthorizationV1Api);
    const more = rbac.createNamespacedRole({ namespace, body: { metadata: { name: "more" }, rules: [] } });
    expect(await statusOf(more)).toBe(403);
    expect(await statusOf(batch.deleteNamespacedJob({ namespace, name: "an-attempt" }))).toBe(200);
  });

  /** The CronJob that the keeper's Jobs are made from. */
  const keptCronJob = (): string =>
    ofKind("CronJob").find(({ spec }) => spec.jobTemplate.spec.ttlSecondsAfterFinished !== undefined)!.metadata.name;
});

/** What a user may do with the objects of a namespace, beside asking what that is. */
async function rulesOf(user: string, namespace: string): Promise<readonly string[]> {
  const client = as(user).makeApiClient(AuthorizationV1Api);
  const { status } = await client.createSelfSubjectRulesReview({ body: { spec: { namespace } } });
  expect(status?.incomplete).toBe(false);
  return status!.resourceRules
    .filter(({ apiGroups = [] }) => !apiGroups.every((group) => /^auth(?:orization|entication)\.k8s\.io$/.test(group)))
    .map(({ verbs, resources }) => `${verbs} ${resources}`);
}

const VERBS = ["create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"];

/** What could be asked for in a namespace. */
const RESOURCES: readonly (readonly [group: string, resource: string, subresource?: string])[] = [
  ["", "pods"],
  ["", "pods", "log"],
  ["", "pods", "exec"],
  ["", "secrets"],
  ["", "configmaps"],
  ["", "serviceaccounts"],
  ["", "serviceaccounts", "token"],
  ["", "persistentvolumeclaims"],
  ["", "events"],
  ["apps", "deployments"],
  ["apps", "deployments", "scale"],
  ["batch", "jobs"],
  ["batch", "cronjobs"],
  ["keda.sh", "scaledobjects"],
  ["networking.k8s.io", "networkpolicies"],
  ["rbac.authorization.k8s.io", "roles"],
  ["rbac.authorization.k8s.io", "rolebindings"],
];

/** What the server says that somebody may do there; with one CronJob by its name. */
async function grantedTo(user: string, namespace: string, cronJob: string): Promise<readonly string[]> {
  const client = as(user).makeApiClient(AuthorizationV1Api);
  const asked = VERBS.flatMap((verb) =>
    [...RESOURCES, ["batch", "cronjobs", "", cronJob] as const].map(async ([group, resource, subresource, name]) => {
      const resourceAttributes = {
        ...{ namespace, verb, group, resource },
        ...(subresource && { subresource }),
        ...(name !== undefined && { name }),
      };
      const { status } = await client.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } });
      const what = [resource, subresource, name].filter(Boolean).join("/");
      return status?.allowed ? [`${verb} ${what}`] : [];
    }),
  );
  return (await Promise.all(asked)).flat().sort();
}
