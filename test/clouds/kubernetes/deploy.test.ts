import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { wayTo } from "../../../lib/clouds/kubernetes/deploy/network.ts";
import { type KubernetesSettings, kubernetes } from "../../../lib/clouds/kubernetes/index.ts";
import { AsyncTask, VideoTranscodePipeline } from "../../../lib/index.ts";
import { type Cloud, Construct, code, cron, every, invoke, mount, read } from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { deploy, inputsOf, listOf, ofType, SECRET_KEY, settingsOf } from "./stack.ts";

let home: string;
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-deploy-"));
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const report = code<typeof import("../../../examples/async-task/report.ts")>(
  new URL("../../../examples/async-task/report.ts", import.meta.url),
);

const parsed = (text: unknown): unknown => JSON.parse(text as string);

interface Container {
  readonly name: string;
  readonly env: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
  readonly [field: string]: unknown;
}
interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly initContainers: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly unknown[];
  readonly [field: string]: unknown;
}

/** Every pod's specification, by the name of what makes it. */
const podsOf = (resources: readonly RegisteredResource[]): Readonly<Record<string, PodSpec>> =>
  Object.fromEntries(
    ["Deployment", "Job", "CronJob"].flatMap((type) =>
      ofType(resources, type).map(({ name, inputs: { spec } }) => {
        const { jobTemplate, template } = spec as Record<string, { spec: { template?: { spec: PodSpec } } & PodSpec }>;
        return [name, (jobTemplate?.spec.template ?? template)!.spec as PodSpec] as const;
      }),
    ),
  );

const variableOf = ({ env }: Container, name: string): string => {
  const { value } = env.find((one) => one.name === name) ?? {};
  if (value === undefined) throw new Error(`there is no ${name}; there are: ${env.map((one) => one.name).join(", ")}`);
  return value.replaceAll("$$", "$");
};

const nameOf = (resources: readonly RegisteredResource[], type: string, name: string): string =>
  inputsOf(resources, type, name).metadata.name as string;

describe("AsyncTask", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy(
      (cloud) => new AsyncTask("reports", { cloud, handler: report, timeout: "2 hours", concurrency: 4 }),
    );
  });
  everywhere(() => resources);

  it("is these resources", () => {
    expect(listOf(resources)).toEqual([
      "Bucket kubernetes-artifacts",
      "BucketLifecycleConfiguration kubernetes-artifacts-lifecycle",
      "BucketObjectv2 kubernetes-setup-code",
      "BucketObjectv2 reports-task-dispatch-code",
      "BucketObjectv2 reports-task-keep-code",
      "BucketObjectv2 reports-task-work-code",
      "ConfigMap kubernetes-bootstrap",
      "CronJob reports-task-work",
      "Deployment reports-task-dispatch",
      "Deployment reports-task-keep",
      "Job reports-failures-setup",
      "Job reports-task-dispatch-setup",
      "Job reports-task-setup",
      "Namespace kubernetes-namespace",
      "NetworkPolicy kubernetes-network-allow",
      "NetworkPolicy kubernetes-network-deny",
      "NetworkPolicy reports-task-keep-network",
      "PodDisruptionBudget reports-task-dispatch-budget",
      "PodDisruptionBudget reports-task-keep-budget",
      "PrometheusRule reports-alarms",
      "Role reports-task-keep-role",
      "RoleBinding reports-task-keep-role-binding",
      "ScaledObject reports-task-dispatch-scaling",
      "Secret kubernetes-store-keys",
      "ServiceAccount kubernetes-setup-account",
      "ServiceAccount reports-task-dispatch-account",
      "ServiceAccount reports-task-keep-account",
      "ServiceAccount reports-task-work-account",
      "aws kubernetes-store",
      "kubernetes kubernetes",
    ]);
  });

  it("the worker is a CronJob that never runs, with the time and the grace of the task", () => {
    const { spec } = inputsOf(resources, "CronJob", "reports-task-work");
    expect(spec).toMatchObject({
      suspend: true,
      jobTemplate: {
        spec: { backoffLimit: 0, activeDeadlineSeconds: 7200 + 30 + 300, ttlSecondsAfterFinished: 86_400 },
      },
    });
    expect(spec.jobTemplate.spec.template.spec).toMatchObject({
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 45,
    });
    expect(spec.jobTemplate.metadata.labels).not.toHaveProperty("kueue.x-k8s.io/queue-name");
    expect(spec.jobTemplate.spec.template.metadata.annotations).toEqual({
      "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
      "karpenter.sh/do-not-disrupt": "true",
    });
  });

  it("a setup that failed is tried again by the next deployment", () => {
    for (const { name, inputs } of ofType(resources, "Job"))
      expect(inputs.metadata, name).toMatchObject({ annotations: { "pulumi.com/replaceUnready": "true" } });
  });

  it("only the keeper has a role, a token and a way to the API server", () => {
    const keeper = nameOf(resources, "Deployment", "reports-task-keep");
    const [role] = ofType(resources, "Role");
    expect(ofType(resources, "Role")).toHaveLength(1);
    expect(role!.inputs.rules).toEqual(
      expect.arrayContaining([expect.objectContaining({ resources: ["jobs"], apiGroups: ["batch"] })]),
    );
    expect(inputsOf(resources, "RoleBinding", "reports-task-keep-role-binding")).toMatchObject({
      roleRef: { kind: "Role", name: nameOf(resources, "Role", "reports-task-keep-role") },
      subjects: [
        { kind: "ServiceAccount", name: keeper, namespace: nameOf(resources, "Namespace", "kubernetes-namespace") },
      ],
    });
    for (const [name, pod] of Object.entries(podsOf(resources))) {
      expect(pod.automountServiceAccountToken, name).toBe(name === "reports-task-keep");
    }
    const { spec } = inputsOf(resources, "NetworkPolicy", "reports-task-keep-network");
    expect(spec.podSelector).toEqual(inputsOf(resources, "Deployment", "reports-task-keep").spec.selector);
    expect(spec.egress).toEqual([
      {
        ports: [
          { protocol: "TCP", port: 443 },
          { protocol: "TCP", port: 6443 },
        ],
      },
    ]);
  });

  it("dispatcher, worker and keeper find the same task", () => {
    const pods = podsOf(resources);
    const main = (name: string) => pods[name]!.containers[0]!;
    const address = parsed(variableOf(main("reports-task-dispatch"), "MILLRACE_LINK_task")) as Record<string, string>;
    expect(parsed(variableOf(main("reports-task-keep"), "MILLRACE_LINK_tasks"))).toEqual(address);
    expect(parsed(variableOf(main("reports-task-work"), "MILLRACE_LINK__24_task"))).toEqual(address);
    expect(address).toMatchObject({
      kind: "task",
      part: "reports-task",
      job: nameOf(resources, "CronJob", "reports-task-work"),
      claims: inputsOf(resources, "Bucket", "kubernetes-artifacts").bucket,
      endpoint: "http://store.stores.svc.cluster.local:9000",
    });
    const function_ = parsed(variableOf(main("reports-task-dispatch"), "MILLRACE_FUNCTION")) as Record<string, unknown>;
    expect(function_.subject).toBe(address.dispatcher);
    const keeper = parsed(variableOf(main("reports-task-keep"), "MILLRACE_KEEPER")) as Record<string, string>;
    expect(keeper).toMatchObject({ subject: address.keeper, stream: function_.stream, job: address.job });
    expect(setupOf(resources, "reports-task-setup")).toMatchObject({
      consumers: [{ stream: keeper.stream, name: keeper.consumer, subject: address.keeper }],
      tables: [address.table],
    });
    const [queue] = Object.values(parsed(address.queues) as Record<string, string>);
    expect(setupOf(resources, "reports-failures-setup")).toMatchObject({ streams: [{ subjects: [queue] }] });
  });

  it("failures are counted where they go", () => {
    const { spec } = inputsOf(resources, "PrometheusRule", "reports-alarms");
    const { streams } = setupOf(resources, "reports-failures-setup");
    expect(spec.groups[0].rules).toEqual([
      expect.objectContaining({
        expr: `max(increase({__name__=~"(nats|jetstream)_stream_last_seq",stream_name="${streams[0]!.name}"}[300s])) > 0`,
      }),
    ]);
  });
});

describe("VideoTranscodePipeline", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy(
      (cloud) =>
        new VideoTranscodePipeline("videos", { cloud, formats: ["mp4"], prefix: "in/", suffixes: [".mp4", ".mov"] }),
    );
  });
  everywhere(() => resources);

  it("is these resources", () => {
    const own = listOf(resources).filter((line) => !line.includes(" kubernetes"));
    expect(own).toEqual([
      "Bucket videos-outputs",
      "Bucket videos-uploads",
      "BucketLifecycleConfiguration videos-outputs-lifecycle",
      "BucketLifecycleConfiguration videos-uploads-lifecycle",
      "BucketObjectv2 videos-transcode-dispatch-code",
      "BucketObjectv2 videos-transcode-keep-code",
      "BucketObjectv2 videos-transcode-work-code",
      "CronJob videos-transcode-dispatch-listing",
      "CronJob videos-transcode-work",
      "Deployment videos-transcode-dispatch",
      "Deployment videos-transcode-keep",
      "Job videos-dead-letters-setup",
      "Job videos-failures-setup",
      "Job videos-requests-setup",
      "Job videos-transcode-dispatch-setup",
      "Job videos-transcode-setup",
      "NetworkPolicy videos-transcode-keep-network",
      "PodDisruptionBudget videos-transcode-dispatch-budget",
      "PodDisruptionBudget videos-transcode-keep-budget",
      "PrometheusRule videos-alarms",
      "Role videos-transcode-keep-role",
      "RoleBinding videos-transcode-keep-role-binding",
      "ScaledObject videos-transcode-dispatch-scaling",
      "ServiceAccount videos-transcode-dispatch-account",
      "ServiceAccount videos-transcode-keep-account",
      "ServiceAccount videos-transcode-work-account",
    ]);
  });

  it("buckets abort what is left of uploads", () => {
    expect(inputsOf(resources, "Bucket", "videos-uploads")).toEqual({
      bucket: expect.stringMatching(/^videos-uploads-[a-z0-9]{8}$/),
      tags: { "millrace:part": "videos-uploads", "millrace:project": "shop", "millrace:stack": "prod" },
    });
    expect(inputsOf(resources, "BucketLifecycleConfiguration", "videos-uploads-lifecycle").rules).toEqual([
      {
        id: "abort-incomplete-uploads",
        status: "Enabled",
        filter: { prefix: "" },
        abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
      },
    ]);
  });

  it("the dispatcher comes from nothing, by the calls and the messages that wait", () => {
    const { spec } = inputsOf(resources, "ScaledObject", "videos-transcode-dispatch-scaling");
    const calls = setupOf(resources, "videos-transcode-dispatch-setup").consumers[0]!;
    const requests = setupOf(resources, "videos-requests-setup").consumers[0]!;
    expect(spec).toMatchObject({
      scaleTargetRef: { name: nameOf(resources, "Deployment", "videos-transcode-dispatch") },
      minReplicaCount: 0,
      maxReplicaCount: 20,
    });
    const waiting = ({ stream, name }: { readonly stream: string; readonly name: string }) => ({
      type: "nats-jetstream",
      metadata: {
        natsServerMonitoringEndpoint: "nats.nats.svc.cluster.local:8222",
        account: "$G",
        stream,
        consumer: name,
        lagThreshold: "1",
        activationLagThreshold: "0",
      },
    });
    expect(spec.triggers).toEqual([waiting(calls), waiting(requests)]);
  });

  it("uploads are looked for once a minute, by what the function reads", () => {
    const { spec } = inputsOf(resources, "CronJob", "videos-transcode-dispatch-listing");
    expect(spec).toMatchObject({
      schedule: "* * * * *",
      timeZone: "Etc/UTC",
      suspend: false,
      concurrencyPolicy: "Forbid",
    });
    const pods = podsOf(resources);
    const function_ = parsed(
      variableOf(pods["videos-transcode-dispatch"]!.containers[0]!, "MILLRACE_FUNCTION"),
    ) as Record<string, unknown>;
    const listing = pods["videos-transcode-dispatch-listing"]!.containers[0]!;
    expect(parsed(variableOf(listing, "MILLRACE_PUBLISH"))).toEqual({ subject: function_.subject, listing: true });
    const { tables } = setupOf(resources, "videos-transcode-dispatch-setup");
    const physical = inputsOf(resources, "Bucket", "videos-uploads").bucket;
    const watched = { bucket: "videos-uploads", physical, prefix: "in/", how: "listing", journal: tables[0] };
    expect(function_.buckets).toEqual([
      expect.objectContaining({ ...watched, suffix: ".mp4" }),
      expect.objectContaining({ ...watched, suffix: ".mov" }),
    ]);
  });

  it("a store that tells NATS is listened to instead", async () => {
    const told = await deploy((cloud) => new VideoTranscodePipeline("videos", { cloud, formats: ["mp4"] }), {
      store: { ...settingsOf().store, notifications: { subject: "bucket.events" } },
    });
    expect(listOf(told)).not.toContain("CronJob videos-transcode-dispatch-listing");
    const { streams, consumers, tables } = setupOf(told, "videos-transcode-dispatch-setup");
    const stream = streams.find(({ subjects }) => subjects.includes("bucket.events"))!;
    expect(stream).toMatchObject({ retention: "interest", maxAge: 14 * 86_400 });
    expect(tables).toEqual([]);
    const consumer = consumers.find((one) => one.stream === stream.name)!;
    const container = podsOf(told)["videos-transcode-dispatch"]!.containers[0]!;
    expect(parsed(variableOf(container, "MILLRACE_FUNCTION"))).toMatchObject({
      buckets: [{ how: "notifications", subject: "bucket.events", stream: stream.name, consumer: consumer.name }],
    });
    const { triggers } = inputsOf(told, "ScaledObject", "videos-transcode-dispatch-scaling").spec;
    expect(triggers).toContainEqual(
      expect.objectContaining({ metadata: expect.objectContaining({ stream: stream.name, consumer: consumer.name }) }),
    );
  });

  it("the worker's pod has what it asks for, and its tools", () => {
    const pod = podsOf(resources)["videos-transcode-work"]!;
    const amounts = { cpu: "2000m", memory: "4Gi", "ephemeral-storage": "11Gi" };
    expect(pod.containers[0]!.resources).toEqual({ requests: amounts, limits: amounts });
    expect(pod.volumes).toContainEqual({ name: "tmp", emptyDir: { sizeLimit: "10Gi" } });
    expect(parsed(variableOf(pod.containers[0]!, "MILLRACE_TOOLS"))).toEqual({
      ffmpeg: "/millrace/app/bin/ffmpeg",
      ffprobe: "/millrace/app/bin/ffprobe",
    });
    const { files } = manifestOf(pod);
    expect(files.map(({ as, name, member }) => [as, name, member])).toEqual([
      ["code", "code", undefined],
      ["tool", "ffmpeg", "bin/ffmpeg"],
      ["tool", "ffprobe", "bin/ffprobe"],
    ]);
  });
});

interface Manifest {
  readonly endpoint: string;
  readonly bucket: string;
  readonly files: readonly {
    readonly key: string;
    readonly sha256: string;
    readonly as: string;
    readonly name: string;
    readonly member?: string;
  }[];
}

const manifestOf = ({ initContainers }: PodSpec): Manifest =>
  parsed(variableOf(initContainers[0]!, "MILLRACE_FETCH")) as Manifest;

interface Setup {
  readonly streams: readonly {
    readonly name: string;
    readonly subjects: readonly string[];
    readonly retention?: string;
  }[];
  readonly consumers: readonly { readonly stream: string; readonly name: string; readonly subject: string }[];
  readonly tables: readonly string[];
}

const setupOf = (resources: readonly RegisteredResource[], name: string): Setup =>
  parsed(variableOf(podsOf(resources)[name]!.containers[0]!, "MILLRACE_SETUP")) as Setup;

/** A value that Pulumi encrypts: https://github.com/pulumi/pulumi/blob/master/sdk/nodejs/runtime/rpc.ts */
const secret = (value: unknown) => ({ "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", value });

/** What holds for every stack. */
function everywhere(all: () => readonly RegisteredResource[]): void {
  it("has pods that may nothing, and fetch what was uploaded by what is in it", async () => {
    const pods = Object.entries(podsOf(all()));
    expect(pods.length).toBeGreaterThan(3);
    const objects = new Map(ofType(all(), "BucketObjectv2").map(({ inputs }) => [inputs.key as string, inputs]));
    for (const [name, pod] of pods) {
      expect(pod.securityContext, name).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      });
      for (const container of [...pod.initContainers, ...pod.containers]) {
        expect(container.securityContext, name).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        const { requests, limits } = container.resources as Record<string, object>;
        // A keeper is there day and night, and mostly waits.
        const isKeeper = name.endsWith("-keep");
        expect(requests, name).toEqual(isKeeper ? { ...limits, cpu: "50m", memory: "128Mi" } : limits);
      }
      const { bucket, files } = manifestOf(pod);
      expect(bucket).toBe(inputsOf(all(), "Bucket", "kubernetes-artifacts").bucket);
      for (const { key, sha256 } of files) {
        const { source } = objects.get(key) as { readonly source: { readonly path: Promise<string> } };
        const path = await source.path;
        expect(existsSync(path), key).toBe(true);
        expect(createHash("sha256").update(readFileSync(path)).digest("hex")).toBe(sha256);
        expect(key).toMatch(/^(?:code|tools)\/[a-z0-9-]+\/[0-9a-f]{20}\.zip$/);
      }
    }
  });

  it("has a Deployment's health on one port, which alone is open", () => {
    for (const { name, inputs } of ofType(all(), "Deployment")) {
      const [main] = (inputs.spec as { template: { spec: PodSpec } }).template.spec.containers;
      expect(main!.readinessProbe, name).toMatchObject({ httpGet: { path: "/healthz", port: 8080 } });
      expect(variableOf(main!, "MILLRACE_HEALTH_PORT")).toBe("8080");
      // A function's own code may keep it from answering.
      const isKeeper = name.endsWith("-keep");
      expect(main!.livenessProbe, name).toMatchObject(
        isKeeper ? { httpGet: { path: "/livez", port: 8080 } } : { tcpSocket: { port: 8080 } },
      );
    }
    const { spec } = inputsOf(all(), "NetworkPolicy", "kubernetes-network-allow");
    expect(spec.ingress).toEqual([{ ports: [{ protocol: "TCP", port: 8080 }] }]);
    expect(spec.egress).toHaveLength(3);
    expect(inputsOf(all(), "NetworkPolicy", "kubernetes-network-deny").spec).toEqual({
      podSelector: {},
      policyTypes: ["Ingress", "Egress"],
    });
  });

  it("keeps to the cluster's names and labels, and to texts in KEDA's metadata", () => {
    const names = new Set<string>();
    for (const { type, inputs } of all().filter(({ type }) => type.startsWith("kubernetes:"))) {
      const { name, labels } = inputs.metadata as { name: string; labels: Record<string, string> };
      expect(name).toMatch(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/);
      if (type.endsWith(":CronJob")) expect(name.length).toBeLessThanOrEqual(52);
      for (const value of Object.values(labels)) expect(value).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]{0,61}[A-Za-z0-9]$/);
      expect(names.has(`${type}/${name}`), `${type}/${name} is there twice`).toBe(false);
      names.add(`${type}/${name}`);
    }
    for (const { inputs } of ofType(all(), "ScaledObject")) {
      const { triggers } = inputs.spec as { triggers: readonly { metadata: Record<string, unknown> }[] };
      for (const { metadata } of triggers)
        for (const value of Object.values(metadata)) expect(typeof value).toBe("string");
    }
    for (const name of ofType(all(), "Job").flatMap(({ name }) => {
      const { streams, consumers, tables } = setupOf(all(), name);
      return [...streams.map((one) => one.name), ...consumers.map((one) => one.name), ...tables];
    }))
      expect(name).toMatch(/^[\w-]{1,255}$/);
  });

  it("has no role with a star, and the store's keys in a Secret and a provider only", () => {
    for (const { inputs } of ofType(all(), "Role")) expect(JSON.stringify(inputs.rules)).not.toContain("*");
    const elsewhere = all().filter(({ name }) => name !== "kubernetes-store-keys" && name !== "kubernetes-store");
    expect(JSON.stringify(elsewhere)).not.toContain(SECRET_KEY);
    const { stringData } = inputsOf(all(), "Secret", "kubernetes-store-keys");
    expect(stringData).toEqual(secret({ accessKey: "the-stores-access-key", secretKey: SECRET_KEY }));
    const { secretKey } = inputsOf(all(), "aws", "kubernetes-store");
    expect(secretKey).toEqual(secret(SECRET_KEY));
  });
}

const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("./functions/echo.ts", import.meta.url),
);

/** One of every part that the constructs of the library do not use. */
class Everything extends Construct {
  constructor(cloud: Cloud) {
    super("Everything", "all", { cloud });
    const failures = this.queue("failures", { delay: "10 seconds" });
    const secret = this.secret("token", { config: "token" });
    const theirs = this.secret("theirs", { existing: "a-secret/password" });
    const table = this.table("state", { removable: true });
    const files = this.volume("files", { removable: true });
    const inner = this.function("inner", {
      handler: echo,
      when: [every("5 minutes"), cron("0 4 * * mon-fri", { timeZone: "Asia/Shanghai" })],
      failures,
      concurrency: 3,
      attempts: 5,
      environment: { MODE: "quick", PRICE: "$(MODE) $5" },
    } as never);
    this.function("outer", {
      handler: echo,
      links: {
        "inner-one": invoke(inner),
        ...{ secret: read(secret), theirs: read(theirs), table: read(table), files: mount(files) },
      },
    } as never);
    this.bucket("kept", { existing: "a-bucket-of-mine" });
    this.bucket("short", { expires: "30 days", versioned: true, removable: true });
    this.build();
  }
}

describe("every part", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy((cloud) => new Everything(cloud), { storageClass: "nfs", volumeSize: "1 TB" });
  });
  everywhere(() => resources);

  it("times are CronJobs that call what they start, each of them, however long the one before takes", () => {
    const timed = ofType(resources, "CronJob").map(({ name, inputs }) => {
      const { schedule, timeZone, concurrencyPolicy } = inputs.spec as Record<string, string>;
      expect(concurrencyPolicy).toBe("Allow");
      const main = podsOf(resources)[name]!.containers[0]!;
      return [schedule, timeZone, parsed(variableOf(main, "MILLRACE_PUBLISH"))];
    });
    const container = podsOf(resources)["all-inner"]!.containers[0]!;
    const { subject } = parsed(variableOf(container, "MILLRACE_FUNCTION")) as Record<string, unknown>;
    expect(timed).toEqual([
      ["*/5 * * * *", "Etc/UTC", { subject, schedule: "all-inner-schedule-1" }],
      ["0 4 * * 1-5", "Asia/Shanghai", { subject, schedule: "all-inner-schedule-2" }],
    ]);
  });

  it("a function's tries, failures, cap and environment are what it asks for", () => {
    const container = podsOf(resources)["all-inner"]!.containers[0]!;
    const { streams } = setupOf(resources, "all-failures-setup");
    expect(parsed(variableOf(container, "MILLRACE_FUNCTION"))).toMatchObject({
      attempts: 5,
      failures: streams[0]!.subjects[0],
    });
    expect(inputsOf(resources, "ScaledObject", "all-inner-scaling").spec.maxReplicaCount).toBe(3);
    // As Kubernetes reads it, nothing stands for something else.
    expect(container.env).toContainEqual({ name: "PRICE", value: "$$(MODE) $$5" });
  });

  it("a secret's value is in its Secret alone, and a file of who is linked to it", () => {
    expect(inputsOf(resources, "Secret", "all-token").stringData).toEqual(secret({ value: "s3cret" }));
    const others = resources.filter(({ name }) => name !== "all-token");
    expect(JSON.stringify(others)).not.toContain("s3cret");
    const { containers, volumes } = podsOf(resources)["all-outer"]!;
    const secretName = nameOf(resources, "Secret", "all-token");
    expect(volumes).toContainEqual({
      name: "secret-0",
      secret: { secretName, items: [{ key: "value", path: "value" }], defaultMode: 0o440 },
    });
    expect(volumes).toContainEqual({
      name: "secret-1",
      secret: { secretName: "a-secret", items: [{ key: "password", path: "value" }], defaultMode: 0o440 },
    });
    const { path } = parsed(variableOf(containers[0]!, "MILLRACE_LINK_secret")) as { readonly path: string };
    expect(containers[0]!.volumeMounts).toContainEqual({
      name: "secret-0",
      mountPath: path.replace(/\/value$/, ""),
      readOnly: true,
    });
    expect(podsOf(resources)["all-inner"]!.volumes).toHaveLength(3);
  });

  it("a volume is a claim that many may write to, mounted where its address says", () => {
    expect(inputsOf(resources, "PersistentVolumeClaim", "all-files").spec).toEqual({
      accessModes: ["ReadWriteMany"],
      storageClassName: "nfs",
      resources: { requests: { storage: "1048576Mi" } },
    });
    const { containers } = podsOf(resources)["all-outer"]!;
    const { path } = parsed(variableOf(containers[0]!, "MILLRACE_LINK_files")) as { readonly path: string };
    expect(containers[0]!.volumeMounts).toContainEqual({ name: "volume-0", mountPath: path });
  });

  it("what there is already is used by its name; what may go goes with all in it", () => {
    expect(listOf(resources)).not.toContain("Bucket all-kept");
    expect(inputsOf(resources, "Bucket", "all-short")).toMatchObject({ forceDestroy: true });
    expect(inputsOf(resources, "BucketVersioning", "all-short-versioning")).toMatchObject({
      versioningConfiguration: { status: "Enabled" },
    });
    expect(inputsOf(resources, "BucketLifecycleConfiguration", "all-short-lifecycle").rules).toMatchObject([
      { id: "abort-incomplete-uploads" },
      { id: "expire", expiration: { days: 30 } },
    ]);
  });
});

describe("what is refused, all at once and in words", () => {
  /** What is wrong with a program; nothing of it is made. */
  const problemsOf = async (declare: (cloud: Cloud) => unknown, changed: Partial<KubernetesSettings> = {}) => {
    const { problems } = await synthesize(() => declare(kubernetes(settingsOf(changed))));
    return problems.map(({ path, message }) => `${path}: ${message}`);
  };

  it("alarms without a Prometheus, and a tool from nowhere", async () => {
    const { alarms: _, ...rest } = settingsOf();
    const { problems } = await synthesize(
      () => new AsyncTask("reports", { cloud: kubernetes(rest), handler: report, tools: ["pandoc", "ffmpeg"] }),
    );
    expect(problems.map(({ path, message }) => `${path}: ${message}`)).toEqual([
      expect.stringMatching(/^reports-task-work\.tools: nobody says where "pandoc" comes from/),
      expect.stringMatching(/^reports-alarms\.alarms: .*prometheus-operator/),
    ]);
  });

  it("settings that no cluster can use", () => {
    const wrong = () =>
      kubernetes({
        nats: { url: "nats.example.com", monitoring: "8222" },
        store: { endpoint: "https://s3.example.com/path" },
        namespace: "Shop",
      });
    for (const word of ["nats.url", "nats.monitoring", "store.endpoint", "kubernetes.store:", "kubernetes.namespace"])
      expect(wrong).toThrow(word);
  });

  it("a cluster of NATS whose servers KEDA could not tell apart, and keys said twice", () => {
    const nats = { ...settingsOf().nats, replicas: 3 } as const;
    expect(() => kubernetes(settingsOf({ nats }))).toThrow(/kubernetes\.nats\.monitoring: .*headless/);
    const twice = { ...settingsOf().nats, keys: { token: "t" }, secret: "nats-login" };
    expect(() => kubernetes(settingsOf({ nats: twice }))).toThrow(/kubernetes\.nats\.keys: .*one of them/);
  });

  it("volumes nobody can share, or that would go with the stack, and names that are none", async () => {
    class Mounting extends Construct {
      constructor(cloud: Cloud) {
        super("Mounting", "mounting", { cloud });
        this.volume("files");
        this.volume("theirs", { existing: "Not a claim" });
        this.bucket("short", { expires: "1 days" });
        this.queue("old", { existing: "with.dots" });
        this.build();
      }
    }
    const declare = (cloud: Cloud) => new Mounting(cloud);
    expect(await problemsOf(declare, { store: { ...settingsOf().store, lifecycle: false } })).toEqual([
      expect.stringMatching(/^mounting-files: .*storageClass/),
      expect.stringMatching(/^mounting-files\.removable: .*existing: \{ namespace \}/),
      expect.stringMatching(/^mounting-theirs\.existing: /),
      expect.stringMatching(/^mounting-short\.expires: .*lifecycle/),
      expect.stringMatching(/^mounting-old\.existing: /),
    ]);
  });

  it("numbers that Prometheus is not told", async () => {
    class Watching extends Construct {
      constructor(cloud: Cloud) {
        super("Watching", "watching", { cloud });
        const queue = this.queue("queue");
        const calm = this.task("calm", { handler: echo } as never);
        this.monitor("alarms", {
          alarms: [
            { part: queue, metric: "age", above: 60 },
            { part: queue, metric: "messages", above: 10 },
            { part: calm, metric: "failures", above: 0 },
          ],
        });
        this.build();
      }
    }
    expect(await problemsOf((cloud) => new Watching(cloud))).toEqual([
      expect.stringMatching(/^watching-alarms\.alarms\[0\]\.metric: /),
      expect.stringMatching(/^watching-alarms\.alarms\[2\]: .*failures/),
    ]);
  });
});

describe("the way to what Millrace does not cover", () => {
  it("alarms may be left out by name, and Jobs wait for Kueue where it is named", async () => {
    const resources = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), {
      alarms: "none",
      kueue: { queue: "media" },
    });
    expect(ofType(resources, "PrometheusRule")).toEqual([]);
    const { jobTemplate } = inputsOf(resources, "CronJob", "reports-task-work").spec;
    expect(jobTemplate.metadata.labels["kueue.x-k8s.io/queue-name"]).toBe("media");
  });

  it("every raw resource passes the transform, by its type", async () => {
    const seen = new Set<string>();
    const resources = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), {
      transform: (type, _name, args) => {
        seen.add(type);
        const { metadata } = args as { readonly metadata: object };
        return type === "kubernetes:apps/v1:Deployment"
          ? { args: { ...args, metadata: { ...metadata, annotations: { team: "ours" } } } }
          : undefined;
      },
    });
    const types = new Set(resources.map(({ type }) => type).filter((type) => !type.startsWith("pulumi:")));
    expect(seen).toEqual(types);
    for (const { inputs } of ofType(resources, "Deployment"))
      expect(inputs.metadata).toMatchObject({ annotations: { team: "ours" } });
  });

  it("NATS is told who pods are by a Secret that is made for them", async () => {
    const resources = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), {
      nats: { ...settingsOf().nats, keys: { user: "shop", password: "of-nats" } },
    });
    const { metadata, stringData } = inputsOf(resources, "Secret", "kubernetes-nats-keys");
    expect(stringData).toEqual(secret({ user: "shop", password: "of-nats" }));
    expect(JSON.stringify(resources.filter(({ name }) => name !== "kubernetes-nats-keys"))).not.toContain("of-nats");
    for (const pod of Object.values(podsOf(resources)))
      expect(JSON.stringify(pod.containers[0]!.env)).toContain(`"name":"${metadata.name}"`);
  });

  it("a user's own namespace, bucket and Secrets are used, and nobody else there is cut off", async () => {
    const resources = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), {
      existing: { namespace: "media", artifacts: "mine" },
      nats: { ...settingsOf().nats, secret: "nats-login" },
      store: { endpoint: "https://s3.example.com", secret: "store-login" },
    });
    for (const type of ["Namespace", "Bucket", "Secret"]) expect(ofType(resources, type)).toEqual([]);
    const { spec } = inputsOf(resources, "NetworkPolicy", "kubernetes-network-deny");
    expect(Object.keys(spec.podSelector.matchLabels)).toEqual(["app.kubernetes.io/part-of"]);
    for (const pod of Object.values(podsOf(resources))) {
      expect(manifestOf(pod)).toMatchObject({ bucket: "mine", endpoint: "https://s3.example.com" });
      const secrets = JSON.stringify(pod.containers[0]!.env);
      expect(secrets).toContain('"name":"store-login"');
      expect(secrets).toContain('"name":"nats-login"');
    }
    expect(inputsOf(resources, "Deployment", "reports-task-keep").metadata.namespace).toBe("media");
  });
});

describe("the way out to a url", () => {
  const peer = (namespace: string) => [
    { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } },
  ];
  it.each([
    ["nats://nats.queues:4222", 4222, undefined],
    ["http://minio.local:9000", 9000, undefined],
    ["nats://nats.queues.svc:4222", 4222, peer("queues")],
    ["http://minio.stores.svc.cluster.local:9000", 9000, peer("stores")],
    ["http://minio:9000", 9000, [{ podSelector: {} }]],
    ["https://10.1.2.3", 443, [{ ipBlock: { cidr: "10.1.2.3/32" } }]],
    ["https://[fd00::1]:9000", 9000, [{ ipBlock: { cidr: "fd00::1/128" } }]],
    ["https://s3.example.com", 443, undefined],
  ])("%s is port %s of %j", (url, port, to) => {
    expect(wayTo(url)).toEqual({ ports: [{ protocol: "TCP", port }], ...(to && { to }) });
  });
});
