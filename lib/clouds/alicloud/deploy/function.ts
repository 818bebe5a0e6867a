import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, LinkPlan, TaskPlan } from "../../../parts/plan.ts";
import { partOf } from "../../../parts/source.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { OWN_TASK, topicKey, writeEnvironment } from "../../../shared/environment.ts";
import { codeOf, PORTS, runtimeFile } from "./code.ts";
import {
  FUNCTION_NAME,
  functionArn,
  type Grant,
  keeperName,
  linkGrants,
  logGrant,
  ownTaskGrants,
  queueArn,
  role,
} from "./permissions.ts";
import type { Site } from "./shared.ts";
import { ledgerName, ledgers } from "./stream.ts";
import { taskAddress } from "./task.ts";
import { toolLayers } from "./tools.ts";
import { triggers } from "./trigger.ts";
import { readOnlyServer } from "./volume.ts";

const MB = 2 ** 20;

/**
 * A function of Function Compute 3.0 on Node 20, with its role, its code and what starts it.
 *
 * @see https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/what-is-function-compute
 */
export function functionPart(site: Site, scope: Scope, plan: FunctionPlan): Built {
  const task = plan.role?.duty === "worker" ? (scope.plan(plan.role.task) as TaskPlan) : undefined;
  const { sources } = plan;
  return functionOf(site, scope, plan, {
    name: scope.physicalName(FUNCTION_NAME),
    links: Object.fromEntries(Object.entries(plan.links).map(([name, link]) => [name, linkOf(scope, link)] as const)),
    grants: [
      ...linkGrants(site, scope, Object.values(plan.links)),
      ...(task ? ownTaskGrants(site, scope, task) : []),
      ...failureGrant(site, scope, plan),
    ],
    sources,
    ...(task && { ownTask: { address: taskAddress(site, scope, task), keeper: keeperName(scope, task) } }),
  });
}

/** What a function is made of beside its plan. */
export interface FunctionParts {
  /** Its physical name. */
  readonly name: string;
  readonly links: Readonly<Record<string, { readonly port: string; readonly address: pulumi.Input<LinkAddress> }>>;
  readonly grants: readonly Grant[];
  readonly sources: FunctionPlan["sources"];
  /** The task that it runs attempts of. */
  readonly ownTask?: { readonly address: pulumi.Input<LinkAddress>; readonly keeper: string };
}

/** The resources of one function. */
export function functionOf(site: Site, scope: Scope, plan: FunctionPlan, parts: FunctionParts): Built {
  const links = {
    ...parts.links,
    ...(parts.ownTask && { [OWN_TASK]: { port: runtimeFile("own-task"), address: parts.ownTask.address } }),
  };
  const ports = Object.fromEntries(Object.entries(links).map(([name, { port }]) => [name, port]));
  const code = site.upload(codeOf(plan, ports), `code/${parts.name}`, `${scope.name}-code`, scope.options);
  const own = role(site, scope, "role", "fc.aliyuncs.com", [...parts.grants, logGrant(site)]);
  const { project, store } = site.logs;
  const { layers, tools } = toolLayers(site, plan.tools);
  const made = site.make(
    alicloud.fc.V3Function,
    scope.name,
    {
      functionName: parts.name,
      runtime: "nodejs20",
      handler: "index.handler",
      code: { ossBucketName: code.bucket, ossObjectName: code.key },
      role: own.arn,
      timeout: plan.timeout,
      memorySize: plan.memory / MB,
      diskSize: plan.disk / MB,
      cpu: plan.cpu,
      // Keys and scratch folders are the invocation's own, and a stop ends one run alone.
      instanceConcurrency: 1,
      internetAccess: true,
      environmentVariables: environmentOf(site, scope, plan, parts.sources, links, tools),
      ...(layers.length > 0 && { layers: [...layers] }),
      ...networkOf(site, scope, plan),
      ...mountsOf(site, scope, plan),
      logConfig: { project, logstore: store, enableRequestMetrics: true, enableInstanceMetrics: true },
      tags: site.tags(scope.name),
    },
    { ...scope.options, dependsOn: [own.attachment] },
  );
  asyncConfig(site, scope, plan, made, parts.ownTask?.keeper);
  concurrency(site, scope, plan, made);
  ledgers(site, scope, Object.values(plan.links));
  const started = triggers(site, scope, made.functionName, parts.sources, plan.failures);
  return {
    id: made.functionName,
    address: { function: made.functionName, account: site.account, region: pulumi.output(site.region) },
    resources: {
      function: made,
      code,
      role: own.role,
      policy: own.policy,
      ...Object.fromEntries(started.map((trigger, index) => [`trigger-${index + 1}`, trigger])),
    },
  };
}

/** The port and the address of what is linked; what a function claims of a stream is kept under a name of its own. */
export function linkOf(scope: Scope, link: LinkPlan): FunctionParts["links"][string] {
  const { port, address } = scope.link(link, ({ kind }) => runtimeFile(PORTS[kind]!));
  if (!link.actions.includes("stream.claim")) return { port, address };
  return { port, address: address.apply((fields) => ({ ...fields, group: ledgerName(scope) })) };
}

function environmentOf(
  site: Site,
  scope: Scope,
  { environment }: FunctionPlan,
  sources: FunctionPlan["sources"],
  links: FunctionParts["links"],
  tools: Readonly<Record<string, string>>,
) {
  const addresses = pulumi.output(
    Object.fromEntries(Object.entries(links).map(([name, { address }]) => [name, address])),
  );
  const names = sources.flatMap((source) => (source.type === "schedule.fired" ? [] : [partOf(source)]));
  const known = [...new Set(names)].map((name) => {
    const { kind, id } = scope.part(name);
    return id.apply((id) => [kind === "stream" ? topicKey(id) : id, name] as const);
  });
  return pulumi.all([site.account, addresses, pulumi.all(known)]).apply(([account, all, pairs]) => ({
    ...environment,
    ...writeEnvironment({
      place: { region: site.region, account },
      logLevel: "info",
      tools,
      sources: Object.fromEntries(pairs),
      links: all as Readonly<Record<string, LinkAddress>>,
    }),
  }));
}

/** A volume puts its functions into the network, and so does a stream into one of the user's; their way out stays. */
function networkOf(site: Site, scope: Scope, { links }: FunctionPlan) {
  const kinds = Object.values(links).map(({ part }) => scope.plan(part).kind);
  const hasKafka = kinds.includes("stream") && site.settings.existing?.network !== undefined;
  if (!kinds.includes("volume") && !hasKafka) return {};
  const { vpc, vswitch, securityGroup } = site.network;
  return { vpcConfig: { vpcId: vpc, vswitchIds: [vswitch], securityGroupId: securityGroup } };
}

function mountsOf(site: Site, scope: Scope, { links }: FunctionPlan) {
  const volumes = Object.values(links).filter(({ part }) => scope.plan(part).kind === "volume");
  if (volumes.length === 0) return {};
  const mountPoints = [...new Set(volumes.map(({ part }) => part))].map((volume) => {
    const { server, path } = scope.part(volume).address;
    const isWritten = volumes.some(({ part, actions }) => part === volume && actions.includes("volume.write"));
    return { serverAddr: isWritten ? server! : readOnlyServer(site, scope, volume), mountDir: path! };
  });
  return { nasConfig: { userId: 0, groupId: 0, mountPoints } };
}

const failureGrant = (site: Site, scope: Scope, { failures }: FunctionPlan): readonly Grant[] =>
  failures === undefined
    ? []
    : [{ actions: ["mns:SendMessage"], resources: [queueArn(site, scope.part(failures).id)] }];

/** @see https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/error-handling-1-2 */
function asyncConfig(
  site: Site,
  scope: Scope,
  { attempts, failures }: FunctionPlan,
  { functionName }: alicloud.fc.V3Function,
  keeper: string | undefined,
): void {
  const failed =
    keeper !== undefined
      ? functionArn(site, keeper)
      : failures !== undefined
        ? queueArn(site, scope.part(failures).id)
        : undefined;
  site.make(
    alicloud.fc.V3AsyncInvokeConfig,
    `${scope.name}-async`,
    {
      functionName,
      qualifier: "LATEST",
      maxAsyncRetryAttempts: attempts - 1,
      ...(keeper !== undefined && { asyncTask: true }),
      ...(failed && { destinationConfig: { onFailure: { destination: failed } } }),
    },
    scope.options,
  );
}

/** The most calls at once, which are reserved too. */
export function concurrency(
  site: Site,
  scope: Scope,
  { concurrency: most }: FunctionPlan,
  { functionName }: alicloud.fc.V3Function,
): void {
  if (most === undefined) return;
  site.make(
    alicloud.fc.V3ConcurrencyConfig,
    `${scope.name}-concurrency`,
    { functionName, reservedConcurrency: most },
    scope.options,
  );
}
