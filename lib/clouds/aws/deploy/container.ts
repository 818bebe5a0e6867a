import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Archive } from "../../../bundle/archive.ts";
import { bootstrapScript, type FetchManifest } from "../../../bundle/bootstrap.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built, Part } from "../../../parts/part.ts";
import type { FunctionPlan, TaskPlan } from "../../../parts/plan.ts";
import { codeOf } from "./code.ts";
import { environmentOf, type Links, portsOf } from "./environment.ts";
import { FUNCTION_NAME, type Grant, logGrant, machineArn, role, unscoped } from "./permissions.ts";
import { partitionOf, type Site } from "./shared.ts";
import { sidecarDefinition, sidecarsOf, taken } from "./sidecar.ts";
import { workerLogs } from "./task-address.ts";
import { archiveOf } from "./tools.ts";
import { mountPath } from "./volume.ts";

/** The container that works. */
export const CONTAINER = "worker";

/** A stock Node, from the registry that asks nobody who they are. https://gallery.ecr.aws/docker/library/node */
const IMAGE = "public.ecr.aws/docker/library/node:24-slim";

/** Where code and tools are unpacked to. */
const FOLDER = "/tmp/millrace";
const CODE = "worker";

/** The image's own user: not root. */
const USER = "1000:1000";

/** Longest time between the request to end and the kill, in seconds. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html */
const LONGEST_END = 120;

const MB = 2 ** 20;
const GB = 2 ** 30;

/** What a worker in a container is made of beside its plan. */
export interface ContainerParts {
  readonly task: TaskPlan;
  readonly links: Links;
  readonly grants: readonly Grant[];
}

/**
 * A worker that takes longer than Lambda allows, as a task definition of Fargate: a stock Node fetches code and tools
 * from the artifact bucket, and works on the one attempt that it is started for.
 *
 * @see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
 */
export function containerOf(site: Site, scope: Scope, plan: FunctionPlan, parts: ContainerParts): Built {
  const { task, links } = parts;
  const family = scope.physicalName(FUNCTION_NAME);
  const sidecars = sidecarsOf(plan, scope.plan);
  const archive = codeOf(plan, portsOf(links), "container");
  // A container that is starting while its next code is deployed fetches what it was told to: nothing is taken away.
  const code = site.upload(archive, `code/${family}`, `${scope.name}-code`, { ...scope.options, retainOnDelete: true });
  const tools = plan.tools.map((name) => ({
    name,
    archive: archiveOf(site, name),
    object: site.tool(name, () => archiveOf(site, name)),
  }));
  const logs = site.logGroup(`${scope.name}-logs`, workerLogs(scope, task), scope.name, scope.options);
  const own = role(site, scope, "role", "ecs-tasks.amazonaws.com", [
    ...parts.grants,
    reportGrant(site, scope, task),
    fetchGrant(site),
  ]);
  const execution = role(site, scope, "execution", "ecs-tasks.amazonaws.com", [
    logGrant(logs),
    ...[site.settings.image ?? IMAGE, ...sidecars.map(({ program }) => program.image.reference)].flatMap(pullGrants),
  ]);
  const { volumes, mountPoints, targets } = mountsOf(site, scope, plan);
  const whole = taken(plan, sidecars);
  const toolPaths = Object.fromEntries(plan.tools.map((name) => [name, `${FOLDER}/bin/${name}`]));
  const made = site.make(
    aws.ecs.TaskDefinition,
    scope.name,
    {
      family,
      requiresCompatibilities: ["FARGATE"],
      networkMode: "awsvpc",
      runtimePlatform: { operatingSystemFamily: "LINUX", cpuArchitecture: "X86_64" },
      ...fargateSize(whole),
      ...storageOf(whole),
      taskRoleArn: own.arn,
      executionRoleArn: execution.arn,
      containerDefinitions: containerDefinition({
        image: site.settings.image ?? IMAGE,
        stopTimeout: Math.min(LONGEST_END, Math.max(2, task.grace)),
        environment: environmentOf(site, scope, plan, [], links, toolPaths),
        manifest: manifestOf(site, { archive, object: code }, tools),
        group: logs.name,
        region: site.region,
        mountPoints,
        sidecars,
      }),
      ...(volumes.length > 0 && { volumes }),
      tags: site.tags(scope.name),
    },
    { ...scope.options, dependsOn: [own.policy, execution.policy, ...targets] },
  );
  return {
    id: site.arn("ecs", `task-definition/${family}`),
    address: { taskDefinition: made.family, region: pulumi.output(site.region) },
    resources: {
      taskDefinition: made,
      code,
      logs,
      role: own.role,
      policy: own.policy,
      execution: execution.role,
      "execution-policy": execution.policy,
    },
  };
}

/**
 * What a state machine needs to start the container: the latest code of this one family, in this one cluster, with these
 * two roles.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html
 */
export function runGrants(site: Site, family: string, { resources }: Part): readonly Grant[] {
  const { role, execution } = resources as Readonly<Record<"role" | "execution", aws.iam.Role>>;
  return [
    {
      actions: ["ecs:RunTask"],
      resources: [site.arn("ecs", `task-definition/${family}:*`)],
      condition: { ArnEquals: { "ecs:cluster": clusterArn(site) } },
    },
    {
      actions: ["ecs:TagResource"],
      resources: [site.arn("ecs", pulumi.interpolate`task/${site.cluster}/*`)],
      condition: { StringEquals: { "ecs:CreateAction": "RunTask" } },
    },
    {
      actions: ["iam:PassRole"],
      resources: [role.arn, execution.arn],
      condition: { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
    },
  ];
}

/** Where containers run. */
export const clusterArn = (site: Site): pulumi.Output<string> =>
  site.arn("ecs", pulumi.interpolate`cluster/${site.cluster}`);

/** https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size */
const SIZES: readonly { readonly cpu: number; readonly from: number; readonly to: number; readonly step: number }[] = [
  { cpu: 512, from: 1024, to: 4096, step: 1024 },
  { cpu: 1024, from: 2048, to: 8192, step: 1024 },
  { cpu: 2048, from: 4096, to: 16_384, step: 1024 },
  { cpu: 4096, from: 8192, to: 30_720, step: 1024 },
  { cpu: 8192, from: 16_384, to: 61_440, step: 4096 },
  { cpu: 16_384, from: 32_768, to: 122_880, step: 8192 },
];
/** The smallest size has steps of its own. */
const SMALLEST = { cpu: 256, memory: [512, 1024, 2048] };

/** The smallest size of Fargate's that has both. */
export function fargateSize({ cpu, memory }: Pick<FunctionPlan, "cpu" | "memory">): { cpu: string; memory: string } {
  const [units, megabytes] = [cpu * 1024, memory / MB];
  const small = units <= SMALLEST.cpu ? SMALLEST.memory.find((size) => size >= megabytes) : undefined;
  if (small !== undefined) return { cpu: String(SMALLEST.cpu), memory: String(small) };
  const size = SIZES.find((one) => one.cpu >= units && one.to >= megabytes) ?? SIZES.at(-1)!;
  const { from, to, step } = size;
  const rounded = from + Math.ceil(Math.max(0, megabytes - from) / step) * step;
  return { cpu: String(size.cpu), memory: String(Math.min(to, rounded)) };
}

/** 20 GB come with every task, of which the image and the code take some. https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html */
const STORAGE = 20;

function storageOf({ disk }: Pick<FunctionPlan, "disk">) {
  const wanted = Math.ceil(disk / GB) + 1;
  return wanted <= STORAGE ? {} : { ephemeralStorage: { sizeInGib: wanted } };
}

/** Tells the state machine that it goes on, and how it ended. https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html */
const reportGrant = (site: Site, scope: Scope, task: TaskPlan): Grant => ({
  actions: ["states:SendTaskHeartbeat", "states:SendTaskSuccess", "states:SendTaskFailure"],
  resources: [machineArn(site, scope, task)],
});

/** Of all code, since a container that starts may be of an older one. */
const fetchGrant = (site: Site): Grant => ({
  actions: ["s3:GetObject"],
  resources: ["code", "layers"].map(
    (folder) => pulumi.interpolate`arn:${site.partition}:s3:::${site.artifacts}/${folder}/*`,
  ),
});

/** An image of a private registry is pulled in the account's name; public ones need nothing. */
function pullGrants(image: string): readonly Grant[] {
  const [, account, region, repository] = /^(\d{12})\.dkr\.ecr\.([\w-]+)\.[^/]+\/([^:@]+)/.exec(image) ?? [];
  if (repository === undefined) return [];
  const { partition } = partitionOf(region!);
  return [
    {
      actions: ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
      resources: [`arn:${partition}:ecr:${region}:${account}:repository/${repository}`],
    },
    unscoped("registry"),
  ];
}

interface Fetched {
  readonly archive: Promise<Archive>;
  readonly object: aws.s3.BucketObjectv2;
}

/** What the container fetches before it works. */
function manifestOf(
  site: Site,
  code: Fetched,
  tools: readonly (Fetched & { readonly name: string })[],
): pulumi.Output<string> {
  const keyed = ({ archive, object }: Fetched) => ({ key: object.key, sha256: archive.then(sha256) });
  return pulumi
    .all([site.artifacts, pulumi.output(keyed(code)), pulumi.all(tools.map((tool) => pulumi.output(keyed(tool))))])
    .apply(([bucket, { key, sha256 }, found]) => {
      const manifest: FetchManifest = {
        region: site.region,
        bucket,
        into: FOLDER,
        files: [
          { key: key!, sha256, as: "code", name: CODE },
          ...found.map(({ key, sha256 }, index) => {
            const { name } = tools[index]!;
            return { key: key!, sha256, as: "tool", name, member: `bin/${name}` } as const;
          }),
        ],
      };
      return JSON.stringify(manifest);
    });
}

const sha256 = async ({ file }: Archive): Promise<string> =>
  createHash("sha256")
    .update(await readFile(file))
    .digest("hex");

interface ContainerSpec {
  readonly image: string;
  readonly stopTimeout: number;
  readonly environment: pulumi.Output<Record<string, string>>;
  readonly manifest: pulumi.Output<string>;
  readonly group: pulumi.Output<string>;
  readonly region: string;
  readonly mountPoints: readonly object[];
  readonly sidecars: ReturnType<typeof sidecarsOf>;
}

function containerDefinition(spec: ContainerSpec): pulumi.Output<string> {
  const { image, stopTimeout, region, mountPoints, sidecars } = spec;
  const logging = (group: string, prefix: string) => ({
    logDriver: "awslogs",
    options: { "awslogs-group": group, "awslogs-region": region, "awslogs-stream-prefix": prefix },
  });
  return pulumi
    .all([spec.environment, spec.manifest, spec.group, pulumi.output(bootstrapScript())])
    .apply(([environment, manifest, group, bootstrap]) =>
      JSON.stringify([
        {
          name: CONTAINER,
          image,
          essential: true,
          user: USER,
          command: ["node", "--input-type=module", "-e", bootstrap, "--", "--then", `${FOLDER}/${CODE}/index.mjs`],
          environment: Object.entries({ ...environment, MILLRACE_FETCH: manifest }).map(([name, value]) => ({
            name,
            value,
          })),
          stopTimeout,
          // Signals are passed on, and what a tool leaves behind is cleared away.
          linuxParameters: { initProcessEnabled: true },
          ...(mountPoints.length > 0 && { mountPoints }),
          logConfiguration: logging(group, "attempt"),
        },
        ...sidecars.map((sidecar) => sidecarDefinition(sidecar, logging(group, "program"))),
      ]),
    );
}

/** https://docs.aws.amazon.com/AmazonECS/latest/developerguide/efs-volumes.html */
function mountsOf(site: Site, scope: Scope, { links }: FunctionPlan) {
  const parts = [...new Set(Object.values(links).map(({ part }) => part))].filter(
    (part) => scope.plan(part).kind === "volume",
  );
  return {
    volumes: parts.map((part, index) => {
      const { fileSystem, accessPoint } = site.volumes.get(part)!;
      return {
        name: `volume-${index + 1}`,
        efsVolumeConfiguration: {
          fileSystemId: fileSystem,
          transitEncryption: "ENABLED",
          authorizationConfig: { accessPointId: accessPoint, iam: "ENABLED" },
        },
      };
    }),
    mountPoints: parts.map((part, index) => ({
      sourceVolume: `volume-${index + 1}`,
      containerPath: mountPath(part),
      readOnly: false,
    })),
    targets: parts.flatMap((part) => site.volumes.get(part)!.targets),
  };
}
