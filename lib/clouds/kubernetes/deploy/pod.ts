import type * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { FetchedFile, FetchManifest } from "../../../bundle/bootstrap.ts";
import { writeEnvironment } from "../../../shared/environment.ts";
import { HEALTH_PORT } from "./network.ts";
import { type Artifact, BOOTSTRAP_FILE, type Site } from "./shared.ts";

type PodSpec = kubernetes.types.input.core.v1.PodSpec;
type Container = kubernetes.types.input.core.v1.Container;
type EnvVar = kubernetes.types.input.core.v1.EnvVar;
type Volume = kubernetes.types.input.core.v1.Volume;
type VolumeMount = kubernetes.types.input.core.v1.VolumeMount;

const MB = 2 ** 20;

/** Where the bootstrap puts what it fetches: `code/`, and tools in `bin/`. */
const INTO = "/millrace/app";
const SCRIPT = "/millrace/bootstrap";

/** The user `node` of the image. https://github.com/nodejs/docker-node/blob/main/docs/BestPractices.md#non-root-user */
const USER = 1000;

/** What unpacking takes, however small the function is. */
const BOOTSTRAP_MEMORY = 256 * MB;
/** Code, its packages and tools, unpacked. */
const APP_BYTES = 1024 * MB;
/** An emptyDir of size 0 would have no limit. */
const LEAST_DISK = 16 * MB;

/** What one of our processes needs of its pod. */
export interface Process {
  readonly account: pulumi.Input<string>;
  /** Whether it speaks with the API server. @default it has no token */
  readonly hasToken?: boolean;
  readonly code: Artifact;
  /** By their names. */
  readonly tools?: Readonly<Record<string, Artifact>>;
  readonly environment: pulumi.Input<Readonly<Record<string, string>>>;
  /** Variables whose values come from elsewhere. */
  readonly variables?: readonly EnvVar[];
  readonly machine: { readonly memory: number; readonly disk: number; readonly cpu: number };
  /** What is set aside for it where that is less. @default all of its machine */
  readonly atRest?: { readonly memory: number; readonly cpu: number };
  /** Seconds that its end may take. */
  readonly grace: number;
  /**
   * What it is asked about its health: whether it listens, for an invocation may keep a process from answering for as
   * long as its timeout; or whether it is well, where nothing of the user's runs. @default nothing
   */
  readonly health?: "listens" | "is well";
  /** What comes back when it ends. @default it starts again */
  readonly restart?: "Never" | "OnFailure";
  readonly mounts?: readonly { readonly volume: Volume; readonly mount: VolumeMount }[];
  /** Containers beside it, and where a node must be for them. @default it is alone */
  readonly sidecars?: readonly Sidecar[];
  readonly affinity?: kubernetes.types.input.core.v1.Affinity;
}

/** A program that runs as long as the process beside it. */
export interface Sidecar {
  /** Of the container; unique in its pod. */
  readonly name: string;
  readonly image: string;
  /** In place of the image's own. @default the image's own */
  readonly command?: readonly string[];
  /** @default the image's own */
  readonly args?: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly machine: Process["machine"];
  /** Memory in bytes. */
  readonly gpu?: { readonly type: string; readonly memory: number };
  /** Fetched for it, to `appPath(name)`. */
  readonly code?: Artifact;
}

/** Where the bootstrap unpacks code of that name. */
export const appPath = (name: string): string => `${INTO}/${name}`;

/** A small process that is done in seconds. */
export const SMALL = { memory: 128 * MB, disk: LEAST_DISK, cpu: 0.1 } as const;

/** The environment in which every process of ours finds its stack. */
export const placeOf = (site: Site): pulumi.Output<Record<string, string>> =>
  site.namespace.apply(
    (namespace): Record<string, string> => ({ namespace, nats: site.settings.nats.url, prefix: site.prefix }),
  );

/** The environment of a process that has neither links nor tools. */
export const plainEnvironment = (
  site: Site,
  more: Readonly<Record<string, string>>,
): pulumi.Output<Readonly<Record<string, string>>> =>
  placeOf(site).apply((place) => ({
    ...writeEnvironment({ place, logLevel: "info", tools: {}, sources: {}, links: {} }),
    ...more,
  }));

/** Paths of tools, as a function finds them. */
export const toolPaths = (names: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(names.map((name) => [name, `${INTO}/bin/${name}`]));

/**
 * A pod: the bootstrap fetches code and tools into it and checks them, then Node runs the code, as somebody who may
 * nothing and writes to `/tmp` alone.
 *
 * @see https://kubernetes.io/docs/concepts/security/pod-security-standards/
 */
export function podSpec(site: Site, process: Process): PodSpec {
  const { account, hasToken = false, grace, restart, machine, mounts = [], sidecars = [], affinity } = process;
  const { pullSecrets = [] } = site.settings;
  return {
    serviceAccountName: account,
    automountServiceAccountToken: hasToken,
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationGracePeriodSeconds: grace,
    ...(restart && { restartPolicy: restart }),
    ...(pullSecrets.length > 0 && { imagePullSecrets: pullSecrets.map((name) => ({ name })) }),
    ...(affinity && { affinity }),
    initContainers: [bootstrapContainer(site, process), ...sidecars.map(sidecarContainer)],
    containers: [mainContainer(site, process)],
    volumes: [
      { name: "app", emptyDir: { sizeLimit: bytes(APP_BYTES) } },
      { name: "tmp", emptyDir: scratch(machine) },
      { name: "bootstrap", configMap: { name: site.bootstrap } },
      ...mounts.map(({ volume }) => volume),
      ...sidecars.map(({ name, machine }) => ({ name: `tmp-${name}`, emptyDir: scratch(machine) })),
    ],
  };
}

const scratch = ({ disk }: Process["machine"]) => ({ sizeLimit: bytes(Math.max(disk, LEAST_DISK)) });

/**
 * It is there before the process, and goes when that has ended: a Job is over although it would go on.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
 */
function sidecarContainer({ name, image, command, args = [], environment, machine, gpu, code }: Sidecar): Container {
  const { requests, limits } = resources(machine);
  const processors = gpu && { "nvidia.com/gpu": "1" };
  return {
    name,
    image,
    restartPolicy: "Always",
    ...(command && { command: command.map(literal) }),
    ...(args.length > 0 && { args: args.map(literal) }),
    env: Object.entries(environment).map(([name, value]) => ({ name, value: literal(value) })),
    resources: { requests: { ...requests, ...processors }, limits: { ...limits, ...processors } },
    securityContext: LOCKED,
    volumeMounts: [
      ...(code ? [{ name: "app", mountPath: INTO, readOnly: true }] : []),
      { name: `tmp-${name}`, mountPath: "/tmp" },
    ],
  };
}

function bootstrapContainer(site: Site, process: Process): Container {
  const { machine, atRest } = process;
  return {
    name: "bootstrap",
    image: imageOf(site),
    command: ["node", `${SCRIPT}/${BOOTSTRAP_FILE}`],
    env: [...storeVariables(site), { name: "MILLRACE_FETCH", value: manifest(site, process) }],
    resources: resources({ ...machine, memory: Math.max(machine.memory, BOOTSTRAP_MEMORY) }, atRest),
    // Its last words are in what the pod tells of itself: a Job's log may be gone when somebody asks.
    terminationMessagePolicy: "FallbackToLogsOnError",
    securityContext: LOCKED,
    volumeMounts: [
      { name: "bootstrap", mountPath: SCRIPT, readOnly: true },
      { name: "app", mountPath: INTO },
      { name: "tmp", mountPath: "/tmp" },
    ],
  };
}

/** What the bootstrap reads. */
function manifest(site: Site, { code, tools = {}, sidecars = [] }: Process): pulumi.Output<string> {
  const wanted = [
    fetched(code, { as: "code", name: "code" }),
    ...sidecars.flatMap(({ name, code }) => (code ? [fetched(code, { as: "code", name })] : [])),
    ...Object.entries(tools).map(([name, tool]) => fetched(tool, { as: "tool", name, member: `bin/${name}` })),
  ];
  return pulumi.all([site.artifacts, pulumi.all(wanted)]).apply(([bucket, files]) => {
    const { endpoint, region } = site;
    return literal(JSON.stringify({ endpoint, region, bucket, into: INTO, files } satisfies FetchManifest));
  });
}

const fetched = (
  { key, sha256 }: Artifact,
  what: Omit<FetchedFile, "key" | "sha256">,
): pulumi.Output<pulumi.Unwrap<FetchedFile>> =>
  pulumi.all([key, sha256]).apply(([key, sha256]) => ({ key, sha256, ...what }));

function mainContainer(site: Site, process: Process): Container {
  const { machine, atRest, environment, variables = [], health, mounts = [] } = process;
  const written = pulumi
    .output(environment)
    .apply((all) => Object.entries(all).map(([name, value]) => ({ name, value: literal(value) })));
  const credentials = [...storeVariables(site), ...natsVariables(site)];
  return {
    name: "main",
    image: imageOf(site),
    command: ["node", `${INTO}/code/index.mjs`],
    env: written.apply((all) => [...all, ...credentials, ...variables]),
    resources: resources(machine, atRest),
    securityContext: LOCKED,
    volumeMounts: [
      { name: "app", mountPath: INTO, readOnly: true },
      { name: "tmp", mountPath: "/tmp" },
      ...mounts.map(({ mount }) => mount),
    ],
    ...(health && probes(health)),
  };
}

/**
 * Ready is who can work. Who cannot is alive all the same: to start again would not bring NATS back.
 *
 * https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
 */
const probes = (health: NonNullable<Process["health"]>): Partial<Container> => ({
  ports: [{ name: "health", containerPort: HEALTH_PORT, protocol: "TCP" }],
  readinessProbe: { httpGet: { path: "/healthz", port: HEALTH_PORT }, periodSeconds: 5, failureThreshold: 3 },
  livenessProbe: {
    ...(health === "listens"
      ? { tcpSocket: { port: HEALTH_PORT }, failureThreshold: 6 }
      : // 20 minutes: a round with much to do takes long, and one that hangs never ends.
        { httpGet: { path: "/livez", port: HEALTH_PORT }, timeoutSeconds: 5, failureThreshold: 60 }),
    ...{ initialDelaySeconds: 10, periodSeconds: 20 },
  },
});

const imageOf = (site: Site): string => site.settings.image ?? "docker.io/library/node:24-slim";

/** Requests are limits: what a function was given it has, whoever is beside it. */
function resources({ memory, disk, cpu }: Process["machine"], atRest?: Process["atRest"]) {
  const of = (machine: { readonly memory: number; readonly cpu: number }) => ({
    cpu: `${Math.round(machine.cpu * 1000)}m`,
    memory: bytes(machine.memory),
    "ephemeral-storage": bytes(Math.max(disk, LEAST_DISK) + APP_BYTES),
  });
  return { requests: of(atRest ?? { memory, cpu }), limits: of({ memory, cpu }) };
}

/** In the largest unit that keeps it whole. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */
function bytes(count: number): string {
  const units = [
    ["Gi", 2 ** 30],
    ["Mi", 2 ** 20],
    ["Ki", 2 ** 10],
  ] as const;
  const [unit, size] = units.find(([, size]) => count % size === 0) ?? ["", 1];
  return `${count / size}${unit}`;
}

const LOCKED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};

/** `$(NAME)` would be another variable's value. https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/ */
const literal = (value: string): string => value.replaceAll("$", "$$$$");

const fromSecret = (name: string, secret: pulumi.Input<string>, key: string, optional = false): EnvVar => ({
  name,
  valueFrom: { secretKeyRef: { name: secret, key, ...(optional && { optional }) } },
});

const storeVariables = (site: Site): readonly EnvVar[] => [
  fromSecret("AWS_ACCESS_KEY_ID", site.storeSecret, "accessKey"),
  fromSecret("AWS_SECRET_ACCESS_KEY", site.storeSecret, "secretKey"),
];

function natsVariables({ natsSecret: secret }: Site): readonly EnvVar[] {
  if (secret === undefined) return [];
  return [
    fromSecret("NATS_USER", secret, "user", true),
    fromSecret("NATS_PASSWORD", secret, "password", true),
    fromSecret("NATS_TOKEN", secret, "token", true),
  ];
}
