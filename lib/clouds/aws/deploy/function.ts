import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, TaskPlan } from "../../../parts/plan.ts";
import { codeOf } from "./code.ts";
import { containerOf } from "./container.ts";
import { environmentOf, type Links, linksOf, portsOf } from "./environment.ts";
import { FUNCTION_NAME, type Grant, linkGrants, logGrant, ownTaskGrants, role, unscoped } from "./permissions.ts";
import { RUNTIME, type Site } from "./shared.ts";
import { isContained } from "./sidecar.ts";
import { consumerGrants } from "./stream.ts";
import { taskAddress } from "./task-address.ts";
import { checkSize, madeTools, toolLayers } from "./tools.ts";
import { triggers } from "./trigger.ts";
import { mountPath } from "./volume.ts";

const MB = 2 ** 20;

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html */
const MEMORY_PER_CPU = 1769;
const MOST_MEMORY = 10_240;

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html */
const LONGEST = 900;

/**
 * A function of Lambda on Node 24, with its role, its code and what starts it; or the container of a worker that takes
 * longer than Lambda allows.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html
 */
export function functionPart(site: Site, scope: Scope, plan: FunctionPlan): Built {
  const task = plan.role?.duty === "worker" ? (scope.plan(plan.role.task) as TaskPlan) : undefined;
  const links = linksOf(scope, plan, task && taskAddress(site, scope, task));
  const grants = [
    ...linkGrants(site, scope, Object.values(plan.links)),
    ...(task ? ownTaskGrants(site, scope, task) : []),
  ];
  if (task && isContained(task, scope.plan)) return containerOf(site, scope, plan, { task, links, grants });
  return functionOf(site, scope, plan, {
    name: scope.physicalName(FUNCTION_NAME),
    links,
    grants,
    sources: plan.sources,
    // A worker has its grace beside its time; Step Functions waits for it and takes its failures.
    ...(task && { isWorker: true, timeout: Math.min(LONGEST, task.timeout + task.grace) }),
  });
}

/** What a function is made of beside its plan. */
export interface FunctionParts {
  /** Its physical name. */
  readonly name: string;
  readonly links: Links;
  readonly grants: readonly Grant[];
  readonly sources: FunctionPlan["sources"];
  /** Whether it is called by a task's state machine alone. @default no */
  readonly isWorker?: boolean;
  /** Seconds. @default the plan's */
  readonly timeout?: number;
}

/** The resources of one function. */
export function functionOf(site: Site, scope: Scope, plan: FunctionPlan, parts: FunctionParts): Built {
  const { name, links, sources, timeout = plan.timeout } = parts;
  const archive = codeOf(plan, portsOf(links), "entry");
  const code = site.upload(archive, `code/${name}`, `${scope.name}-code`, scope.options);
  const logs = site.logGroup(`${scope.name}-logs`, `/aws/lambda/${name}`, scope.name, scope.options);
  const mounted = mountOf(site, scope, plan);
  const placed = networkOf(site, scope, plan);
  const own = role(site, scope, "role", "lambda.amazonaws.com", [
    ...parts.grants,
    ...sourceGrants(site, scope, sources),
    ...failureGrant(scope, plan),
    logGrant(logs),
    ...(placed ? [unscoped("network")] : []),
  ]);
  const { layers, tools } = toolLayers(site, plan.tools);
  const fits = checkSize(scope.name, archive, madeTools(site, plan.tools));
  const made = site.make(
    aws.lambda.Function,
    scope.name,
    {
      name,
      runtime: RUNTIME,
      architectures: ["x86_64"],
      handler: "index.handler",
      s3Bucket: code.bucket,
      s3Key: pulumi.all([code.key, fits]).apply(([key]) => key!),
      role: own.arn,
      timeout,
      memorySize: memoryOf(plan),
      ephemeralStorage: { size: plan.disk / MB },
      environment: { variables: environmentOf(site, scope, plan, sources, links, tools) },
      ...(layers.length > 0 && { layers: [...layers] }),
      ...(plan.concurrency !== undefined && { reservedConcurrentExecutions: plan.concurrency }),
      ...placed,
      ...mounted?.args,
      loggingConfig: { logFormat: "JSON", logGroup: logs.name, applicationLogLevel: "INFO", systemLogLevel: "INFO" },
      tags: site.tags(scope.name),
    },
    { ...scope.options, dependsOn: [own.policy, ...(mounted?.targets ?? [])] },
  );
  if (!parts.isWorker) asyncConfig(site, scope, plan, made);
  const started = triggers(site, scope, made, plan, sources);
  return {
    id: made.arn,
    address: { function: made.name, region: pulumi.output(site.region) },
    resources: { function: made, code, logs, role: own.role, policy: own.policy, ...started },
  };
}

/** CPU comes with memory: as much as gives the CPU that is asked for. */
export const memoryOf = ({ memory, cpu }: Pick<FunctionPlan, "memory" | "cpu">): number =>
  Math.min(MOST_MEMORY, Math.max(memory / MB, Math.ceil(cpu * MEMORY_PER_CPU)));

/** A volume puts its function into the network, and so does a stream into one of the user's. */
function networkOf(site: Site, scope: Scope, { links }: FunctionPlan) {
  const kinds = Object.values(links).map(({ part }) => scope.plan(part).kind);
  const hasKafka = kinds.includes("stream") && site.settings.existing?.network !== undefined;
  if (!kinds.includes("volume") && !hasKafka) return undefined;
  const { subnets, securityGroups } = site.network.functions;
  return { vpcConfig: { subnetIds: [...subnets], securityGroupIds: [...securityGroups] } };
}

function mountOf(site: Site, scope: Scope, { links }: FunctionPlan) {
  const link = Object.values(links).find(({ part }) => scope.plan(part).kind === "volume");
  if (!link) return undefined;
  const volume = site.volumes.get(link.part)!;
  return {
    args: {
      fileSystemConfig: { arn: site.volumeArns(volume).accessPoint, localMountPath: mountPath(link.part) },
    },
    targets: volume.targets,
  };
}

/** The service takes messages and records in the function's name. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html */
const sourceGrants = (site: Site, scope: Scope, sources: FunctionPlan["sources"]): readonly Grant[] =>
  sources.flatMap((source): readonly Grant[] => {
    switch (source.type) {
      case "queue.received":
        return [
          {
            actions: ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
            resources: [scope.part(source.queue).id],
          },
        ];
      case "stream.consumed":
        return consumerGrants(site, scope, source);
      default:
        return [];
    }
  });

/** The service sends what failed in the function's name. */
const failureGrant = (scope: Scope, { failures }: FunctionPlan): readonly Grant[] =>
  failures === undefined ? [] : [{ actions: ["sqs:SendMessage"], resources: [scope.part(failures).id] }];

/** @see https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html */
function asyncConfig(site: Site, scope: Scope, { attempts, failures }: FunctionPlan, made: aws.lambda.Function): void {
  site.make(
    aws.lambda.FunctionEventInvokeConfig,
    `${scope.name}-async`,
    {
      functionName: made.name,
      maximumRetryAttempts: attempts - 1,
      ...(failures !== undefined && { destinationConfig: { onFailure: { destination: scope.part(failures).id } } }),
    },
    scope.options,
  );
}
