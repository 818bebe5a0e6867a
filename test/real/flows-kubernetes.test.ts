import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { encoded } from "../../lib/clouds/kubernetes/deploy/flow-expressions.ts";
import type { KubernetesWorld } from "../../lib/clouds/kubernetes/runtime/account.ts";
import { KubernetesApi } from "../../lib/clouds/kubernetes/runtime/api.ts";
import { ArgoWorkflows, workflowName } from "../../lib/clouds/kubernetes/runtime/argo.ts";
import { handler as ask } from "../../lib/clouds/kubernetes/runtime/flow-ask.ts";
import type { FlowKeeperJson } from "../../lib/clouds/kubernetes/runtime/flow-keep.ts";
import { FlowKeeper } from "../../lib/clouds/kubernetes/runtime/flow-keeper.ts";
import { FlowRows } from "../../lib/clouds/kubernetes/runtime/flow-rows.ts";
import { port as turnsPort } from "../../lib/clouds/kubernetes/runtime/flow-turns.ts";
import { setUp } from "../../lib/clouds/kubernetes/runtime/setup.ts";
import { ArgoFlow } from "../../lib/clouds/kubernetes/runtime/workflow.ts";
import type { RegisteredResource } from "../../lib/program/mocks.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { LinkAddress } from "../../lib/runtime/deployment.ts";
import { writeEnvironment } from "../../lib/shared/environment.ts";
import status from "../clouds/kubernetes/argo-status.json" with { type: "json" };
import { STATUS_TEMPLATES } from "../clouds/kubernetes/argo-templates.ts";
import { Events } from "../clouds/kubernetes/events-program.ts";
import { Orders } from "../clouds/kubernetes/orders.ts";
import { deploy } from "../clouds/kubernetes/stack.ts";
import { NatsWorld } from "./nats-world.ts";
import { applyKedaCrds, type KubernetesServer, startKubernetes } from "./servers/index.ts";

const NAMESPACE = "orders";
const WORKFLOWS = `/apis/argoproj.io/v1alpha1/namespaces/${NAMESPACE}/workflows`;

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at what is there
  readonly [field: string]: any;
}

let home: string;
const before = process.cwd();
let server: KubernetesServer;
let nats: NatsWorld;
let ca: string;
let admin: KubernetesApi;
let manifests: readonly Manifest[];
let address: LinkAddress;
let told: FlowKeeperJson;
let world: KubernetesWorld;
const apis: KubernetesApi[] = [];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-flows-"));
  process.chdir(home);
  [server, nats] = await Promise.all([startKubernetes(), NatsWorld.start()]);
  ca = await certificateOf(server.url);
  admin = apiOf(server.adminToken);
  await Promise.all([applyKedaCrds(server), defineKinds()]);
  await deployOrders();
  world = { ...nats.world, prefix: "orders" };
}, 180_000);
afterAll(async () => {
  for (const api of apis) api.close();
  await Promise.all([server?.stop(), nats?.stop()]);
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

function apiOf(token: string): KubernetesApi {
  const api = new KubernetesApi({ server: server.url, ca, token: () => token });
  apis.push(api);
  return api;
}

/** Kinds of operators: Argo's as its own small definitions have them, whatever is in them is kept; Strimzi's are not here. */
async function defineKinds(): Promise<void> {
  await Promise.all([
    ...["Workflow", "WorkflowTemplate", "WorkflowTaskResult"].map((kind) => define("argoproj.io", "v1alpha1", kind)),
    define("kafka.strimzi.io", "v1beta2", "KafkaTopic"),
  ]);
}

async function define(group: string, version: string, kind: string): Promise<void> {
  const plural = `${kind.toLowerCase()}s`;
  const anything = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const schema = { openAPIV3Schema: { type: "object", properties: { spec: anything, status: anything } } };
  await admin.ask({
    verb: "create",
    path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    body: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${group}` },
      spec: {
        group,
        names: { kind, plural, singular: plural.slice(0, -1), listKind: `${kind}List` },
        scope: "Namespaced",
        versions: [{ name: version, served: true, storage: true, schema }],
      },
    },
  });
  const path = `/apis/${group}/${version}/${plural}`;
  await vi.waitFor(() => admin.ask({ verb: "list", path }), { timeout: 30_000, interval: 200 });
}

async function deployOrders(): Promise<void> {
  let addresses: Readonly<Record<string, Readonly<Record<string, string>>>> = {};
  const resources = await deploy(
    (cloud) => {
      new Orders(cloud);
      cloud.output.apply((output) => {
        addresses = output.addresses;
      });
    },
    { namespace: NAMESPACE, nats: { url: nats.server.url } },
  );
  manifests = manifestsIn(resources);
  address = { ...addresses["orders-flow"], part: "orders-flow" } as unknown as LinkAddress;
  told = JSON.parse(variableOf("Deployment", "orders-flow-keep", "MILLRACE_KEEPER")) as FlowKeeperJson;
}

const manifestsIn = (resources: readonly RegisteredResource[]): readonly Manifest[] =>
  resources
    .filter(({ type }) => type.startsWith("kubernetes:"))
    .map(({ inputs }) => plain(inputs) as Manifest)
    .filter(({ kind }) => kind !== "PrometheusRule");

/** Without the marks of what Pulumi encrypts. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("4dabf18193072939515e22adb298388d" in value) return plain((value as { readonly value?: unknown }).value);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

function named(kind: string, start: string): Manifest {
  const found = manifests.filter((one) => one.kind === kind && one.metadata.name.startsWith(start));
  if (found.length !== 1) throw new Error(`${found.length} of ${kind} ${start}`);
  return found[0]!;
}

function variableOf(kind: string, start: string, name: string): string {
  const { env } = named(kind, start).spec.template.spec.containers[0];
  return env.find((one: { readonly name: string }) => one.name === name).value.replaceAll("$$", "$");
}

const PLURALS: Readonly<Record<string, string>> = { NetworkPolicy: "networkpolicies" };

function pathOf({ apiVersion, kind, metadata }: Manifest): string {
  const group = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const place = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  return `${group}${place}/${PLURALS[kind] ?? `${kind.toLowerCase()}s`}`;
}

async function tokenOf(account: string): Promise<string> {
  const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${account}/token`;
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { audiences: [] } };
  return (await admin.ask<{ status: { token: string } }>({ verb: "create", path, body })).status.token;
}

async function createAll(manifests: readonly Manifest[]): Promise<void> {
  for (const manifest of manifests) {
    const query = { fieldValidation: "Strict" };
    const made = admin.ask({ verb: "create", path: pathOf(manifest), query, body: manifest });
    await expect(made, `${manifest.kind} ${manifest.metadata.name}`).resolves.toMatchObject({ kind: manifest.kind });
  }
}

test("the API server takes every manifest, and knows every field of it", async () => {
  await createAll(manifests);
  const setup = JSON.parse(variableOf("Job", "orders-flow-setup", "MILLRACE_SETUP"));
  await setUp(await nats.nats(), setup);
}, 60_000);

test("and those of a stream in a Kafka of Strimzi's, the topic in the cluster's namespace", async () => {
  const path = "/api/v1/namespaces";
  await admin.ask({ verb: "create", path, body: { apiVersion: "v1", kind: "Namespace", metadata: { name: "kafka" } } });
  const user = JSON.stringify({ username: "ann", password: "s3cret" });
  const resources = await deploy((cloud) => new Events(cloud, {}), { namespace: "events" }, { "shop:kafka": user });
  const all = manifestsIn(resources);
  const kinds = new Set(all.map(({ kind }) => kind));
  expect([...kinds]).toEqual(expect.arrayContaining(["KafkaTopic", "ScaledObject", "TriggerAuthentication"]));
  await createAll(all);
}, 60_000);

const ASKED = [
  ...["create", "get", "list", "watch", "patch", "update", "delete"].map((verb) => `${verb} argoproj.io/workflows`),
  ...["create", "patch", "get"].map((verb) => `${verb} argoproj.io/workflowtaskresults`),
  ...["create", "patch"].map((verb) => `${verb} argoproj.io/workflowtemplates`),
  ...["create", "get", "list"].map((verb) => `${verb} /pods`),
  ...["create", "list"].map((verb) => `${verb} batch/jobs`),
  ...["get", "list"].map((verb) => `${verb} /secrets`),
];

async function allowedTo(account: string): Promise<readonly string[]> {
  const api = apiOf(await tokenOf(account));
  const asked = ASKED.map(async (question) => {
    const [, verb, group, resource] = /^(\w+) (.*)\/(\w+)$/.exec(question)!;
    const spec = { resourceAttributes: { namespace: NAMESPACE, verb, group, resource } };
    const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    const body = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec };
    const { status } = await api.ask<{ status: { allowed: boolean } }>({ verb: "create", path, body });
    return status.allowed ? [question] : [];
  });
  return (await Promise.all(asked)).flat();
}

test("who may do what: the keeper makes Workflows, what stands beside steps reports, and nobody else does anything", async () => {
  const granted: Record<string, readonly string[]> = {};
  for (const { metadata } of manifests.filter(({ kind }) => kind === "ServiceAccount")) {
    const allowed = await allowedTo(metadata.name);
    if (allowed.length > 0) granted[metadata.name.replace(/-[a-z0-9]{8}$/, "")] = allowed;
  }
  expect(granted).toEqual({
    "orders-flow-keep": ["create", "get", "list", "watch", "patch"].map((verb) => `${verb} argoproj.io/workflows`),
    "orders-flow-executor": ["create", "patch"].map((verb) => `${verb} argoproj.io/workflowtaskresults`),
    "orders-make-keep": ["list /pods", "create batch/jobs", "list batch/jobs"],
  });
}, 60_000);

/** The keeper as its Deployment tells it to be, with its own account's token. */
async function keeping<Result>(work: (flow: ArgoFlow) => Promise<Result>): Promise<Result> {
  const api = apiOf(await tokenOf(named("ServiceAccount", "orders-flow-keep").metadata.name));
  const { namespace, template, labels, timeout, stream, consumer } = told;
  const ending = new AbortController();
  const keeper = new FlowKeeper({
    ...{ template, timeout, stream, consumer, clock: systemClock, log: world.log, nats: world.nats },
    templates: STATUS_TEMPLATES,
    rows: new FlowRows(address.table!, world),
    workflows: new ArgoWorkflows(api, { namespace, template, labels }),
  });
  const running = keeper.run(ending.signal);
  try {
    return await work(new ArgoFlow(address, world));
  } finally {
    ending.abort();
    await running;
  }
}

const nameOf = (run: string, round = 1): string => workflowName({ template: told.template, run, round });
const find = (run: string, round = 1) =>
  vi.waitFor(
    async () => {
      const found = await admin.find<Manifest>({ verb: "get", path: `${WORKFLOWS}/${nameOf(run, round)}` });
      expect(found).toBeDefined();
      return found!;
    },
    { timeout: 15_000, interval: 100 },
  );
/** What Argo's controller would write. */
const play = (run: string, status: object, round = 1) =>
  admin.ask({ verb: "patch", path: `${WORKFLOWS}/${nameOf(run, round)}`, body: { status } });
const until = (flow: ArgoFlow, run: string, wanted: string) =>
  vi.waitFor(
    async () => {
      const history = await flow.get(run);
      expect(history?.run.status).toBe(wanted);
      return history!;
    },
    { timeout: 20_000, interval: 200 },
  );

test("a run is a Workflow, known by its id; what becomes of it is written down, and it is done again from there", async () => {
  await keeping(async (flow) => {
    expect(await flow.start("Run_1", { text: "{{x}}" })).toMatchObject({ status: "running", id: "Run_1" });
    const workflow = await find("Run_1");
    expect(workflow.metadata).toMatchObject({ labels: { "millrace/flow": told.template } });
    expect(workflow.spec).toEqual({
      workflowTemplateRef: { name: told.template },
      arguments: {
        parameters: [
          { name: "run", value: "Run_1" },
          { name: "input", value: encoded({ text: "{{x}}" }) },
        ],
      },
    });
    expect(await flow.start("Run_1", "another")).toMatchObject({
      deduplicated: true,
      inputPreview: '{"text":"{{x}}"}',
    });

    const failed = Object.values(status.nodes).find(({ displayName }) => displayName === "asked")!;
    const { outputs: _, ...asking } = failed as { outputs?: unknown };
    await play("Run_1", { phase: "Running", nodes: { asked: { ...asking, phase: "Running" } } });
    await vi.waitFor(
      async () => {
        const { steps } = (await flow.get("Run_1"))!;
        expect(steps).toMatchObject([{ path: "asked", status: "waiting", callback: "Run_1/asked" }]);
      },
      { timeout: 15_000, interval: 200 },
    );

    await play("Run_1", status);
    const history = await until(flow, "Run_1", "failed");
    expect(history.run.error).toEqual({ kind: "refused", message: "closed" });
    expect(history.steps.map(({ path, status }) => `${path} ${status}`)).toContain("both/tries succeeded");

    await expect(flow.retry("nobody")).rejects.toMatchObject({ kind: "not-found" });
    expect(await flow.retry("Run_1")).toMatchObject({ status: "running" });
    await find("Run_1", 2);
    await expect(flow.retry("Run_1")).rejects.toMatchObject({ kind: "conflict" });
    const answer = encoded({ status: "ended", output: { all: "well" } });
    await play("Run_1", { phase: "Succeeded", outputs: { parameters: [{ name: "answer", value: answer }] } }, 2);
    expect(await until(flow, "Run_1", "succeeded")).toMatchObject({ output: { all: "well" } });
  });
}, 90_000);

test("a run that is stopped is ended by Argo, and one whose Workflow is deleted has been interrupted", async () => {
  await keeping(async (flow) => {
    await Promise.all(["s1", "s2", "s3"].map((id) => flow.start(id, {})));
    await Promise.all(["s1", "s2", "s3"].map((id) => find(id)));
    expect(await flow.stop("s1")).toMatchObject({ status: "stopping" });
    await vi.waitFor(async () => expect((await find("s1")).spec.shutdown).toBe("Terminate"), 15_000);
    await play("s1", { phase: "Failed", message: "Stopped with strategy 'Terminate'" });
    await until(flow, "s1", "stopped");
    expect(await flow.stop("s1")).toMatchObject({ status: "stopped" });
    const [startedAt, finishedAt] = ["2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"];
    await play("s3", { phase: "Failed", startedAt, finishedAt, message: "exceeded" });
    expect((await until(flow, "s3", "failed")).run.error).toMatchObject({ kind: "timed-out" });
    await admin.ask({ verb: "delete", path: `${WORKFLOWS}/${nameOf("s2")}`, body: {} });
  });
  // While nobody keeps it.
  const flow = new ArgoFlow(address, world);
  await flow.start("s4", { late: true });
  await flow.start("s5", {});
  await flow.stop("s5");
  await keeping(async (flow) => {
    expect((await until(flow, "s2", "failed")).run.error).toMatchObject({ kind: "interrupted" });
    await find("s4");
    await until(flow, "s5", "stopped");
    expect(await admin.find({ verb: "get", path: `${WORKFLOWS}/${nameOf("s5")}` })).toBeUndefined();
  });
  const ids = async (filter = {}) => (await flow.list(filter)).runs.map(({ id }) => id);
  expect(await ids({ prefix: "s" })).toEqual(["s5", "s4", ...["s1", "s2", "s3"].sort(byStart(await flow.list()))]);
  expect(await ids({ status: "stopped" })).toEqual(["s5", "s1"]);
  const first = await flow.list({ limit: 2 });
  expect(first.runs).toHaveLength(2);
  const rest = await flow.list({ cursor: first.next! });
  expect([...first.runs, ...rest.runs].map(({ id }) => id).sort()).toEqual(["Run_1", "s1", "s2", "s3", "s4", "s5"]);
  expect(await ids({ before: first.runs[1]!.started })).not.toContain(first.runs[1]!.id);
  expect(await ids({ after: first.runs[1]!.started })).toEqual(first.runs.map(({ id }) => id));
  await expect(flow.start("no id", {})).rejects.toMatchObject({ kind: "bad-input" });
  await expect(flow.start("large", "x".repeat(70_000))).rejects.toMatchObject({ kind: "refused" });
}, 120_000);

/** In the order of a list. */
const byStart =
  ({ runs }: { readonly runs: readonly { readonly id: string }[] }) =>
  (one: string, other: string) =>
    runs.findIndex(({ id }) => id === one) - runs.findIndex(({ id }) => id === other);

test("a step that asks hears of an answer that came before, and an answer to one attempt is none to the next", async () => {
  const flow = new ArgoFlow(address, world);
  const turns = turnsPort(address, world);
  const sent: { readonly callback: string }[] = [];
  const asked = { queue: "q", send: async (body: string) => String(sent.push(JSON.parse(body))) };
  const asking = (path: string) =>
    ask(
      { type: "function.invoked", id: `s4/${path}`, payload: { what: 1 }, time: "" } as never,
      { links: { turns, asked }, clock: systemClock, signal: new AbortController().signal } as never,
    );
  await flow.answer("s4/early", { output: { yes: true } });
  await flow.answer("s4/early", { output: "too late" });
  expect(await asking("early")).toEqual({ yes: true });

  const first = asking("each[0]/late");
  first.catch(() => {});
  await vi.waitFor(() => expect(sent.at(-1)).toMatchObject({ callback: "s4/each[0]/late", input: { what: 1 } }));
  await flow.answer("s4/each[0]/late", { error: { kind: "refused", message: "no" } });
  await expect(first).rejects.toMatchObject({ kind: "refused", message: "no" });
  const second = asking("each[0]/late");
  await vi.waitFor(() => expect(sent.at(-1)).toMatchObject({ callback: "s4/each[0]/late~2" }));
  await flow.answer("s4/each[0]/late~2", { output: 2 });
  expect(await second).toBe(2);
  await expect(flow.answer("unknown/late", { output: 1 })).rejects.toMatchObject({ kind: "not-found" });
}, 30_000);

const SCRIPT = fileURLToPath(new URL("../clouds/kubernetes/functions/step-process.ts", import.meta.url));

test("what a step did is remembered: its pod is answered from there when the run is done again", async () => {
  const pod = async (at: string) => {
    const file = join(home, `answer-${at.replaceAll(/\W/g, "_")}-${Math.random()}`);
    const env = {
      ...writeEnvironment({
        place: { nats: nats.server.url, prefix: "orders" },
        ...{ logLevel: "info", tools: {}, sources: {}, links: {} },
      }),
      MILLRACE_STEP: encoded({ step: "one", attempts: 1, most: 1000, mapping: { does: "echo" }, known: [] }),
      MILLRACE_RUN: "s4",
      MILLRACE_AT: at,
      MILLRACE_FLOW: address.table,
    };
    const child = spawn(process.execPath, [SCRIPT, file], { env, stdio: ["ignore", "pipe", "inherit"] });
    let log = "";
    child.stdout.on("data", (text) => {
      log += text;
    });
    const [code] = await once(child, "exit");
    const answer = existsSync(file) && JSON.parse(Buffer.from(await readFile(file, "utf8"), "base64").toString());
    return { code, answer, wasDone: log.includes("the step was done before") };
  };
  const output = { id: "s4/both/one", payload: { does: "echo" } };
  const done = { code: 0, answer: { status: "succeeded", output } };
  expect(await pod("~0~both/")).toEqual({ ...done, wasDone: false });
  expect(await pod("~0~both/")).toEqual({ ...done, wasDone: true });
  // Another attempt of what is around it does it again.
  expect(await pod("~1~both/")).toEqual({ ...done, wasDone: false });
}, 60_000);

function certificateOf(url: string): Promise<string> {
  const { hostname: host, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
      const own = socket.getPeerX509Certificate();
      resolve((own?.issuerCertificate ?? own)!.toString());
      socket.destroy();
    });
    socket.once("error", reject);
  });
}
