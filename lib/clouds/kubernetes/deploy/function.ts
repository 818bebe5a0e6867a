import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Linked, Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, LinkPlan, SecretPlan, TaskPlan, VolumePlan } from "../../../parts/plan.ts";
import { partOf } from "../../../parts/source.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { OWN_STORE, OWN_STREAMS, OWN_TASK, writeEnvironment } from "../../../shared/environment.ts";
import { codeOf, PORTS, runtimeFile } from "./code.ts";
import { setupJob } from "./errand.ts";
import { callSubject, OBJECT_NAME, workerName } from "./names.ts";
import { HEALTH_PORT, linksPolicy } from "./network.ts";
import { type Process, placeOf, podSpec, toolPaths } from "./pod.ts";
import { gpuAffinity, programAddress, programPart, sidecarsOf } from "./program.ts";
import { secretMount } from "./secret.ts";
import type { Artifact, Site } from "./shared.ts";
import { ledgerName, streamSecrets, streamsOf } from "./stream.ts";
import { taskAddress } from "./task.ts";
import { toolArtifacts } from "./tools.ts";
import { publishers, scaling, setupOf, specOf } from "./trigger.ts";
import { volumeMount } from "./volume.ts";

/** Seconds beyond its timeout in which a process gives back what it has not begun, and says good-bye. */
const MARGIN = 15;
/** Seconds beyond an attempt's time in which its pod is placed, has its image and its code, and reports its end. */
const JOB_MARGIN = 300;
/** Seconds that the first call of all waits for a pod. */
const COLD_START = 120;
/** How long the Job of an attempt is kept, and its log with it. */
const JOB_KEPT = 86_400;

/**
 * Who makes room on nodes leaves attempts where they are: each would begin again elsewhere, and a long one never end.
 *
 * https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md
 * https://karpenter.sh/docs/concepts/disruption/
 */
export const KEPT_IN_PLACE = {
  "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
  "karpenter.sh/do-not-disrupt": "true",
};

/** A function: waits for calls in pods of its own, or works on attempts in pods that a keeper makes. */
export const functionPart = (site: Site, scope: Scope, plan: FunctionPlan): Built =>
  plan.program
    ? programPart(scope)
    : plan.role?.duty === "worker"
      ? connected(site, scope, plan, worker(site, scope, plan, scope.plan(plan.role.task) as TaskPlan))
      : connected(site, scope, plan, caller(site, scope, plan));

/** A function that is linked to what lies on other clouds, or to a Kafka, has a way there. */
function connected(site: Site, scope: Scope, plan: FunctionPlan, built: Built): Built {
  const endpoints = [
    ...Object.values(plan.links).flatMap((link) => linkOf(scope, link).endpoint ?? []),
    ...brokersOf(scope, plan),
  ];
  if (endpoints.length === 0) return built;
  const network = linksPolicy(site, scope, [...new Set(endpoints)]);
  return { ...built, resources: { ...built.resources, network } };
}

/** Brokers that one of them tells of have to be reached by the same port. */
function brokersOf(scope: Scope, plan: FunctionPlan): readonly string[] {
  const parts = [...Object.values(plan.links).map(({ part }) => part), ...streamsOf(plan).map(({ stream }) => stream)];
  const streams = [...new Set(parts)].map((part) => scope.plan(part)).filter((part) => part.kind === "stream");
  return streams.flatMap(({ kafka }) => kafka?.brokers ?? []).map((broker) => `kafka://${broker}`);
}

/**
 * A Deployment that KEDA scales from nothing by the calls and messages that wait.
 *
 * @see https://keda.sh/docs/latest/scalers/nats-jetstream/
 */
function caller(site: Site, scope: Scope, plan: FunctionPlan): Built {
  const name = scope.physicalName(OBJECT_NAME);
  const links = linksOf(scope, plan);
  const code = upload(site, scope, plan, "entry", links);
  const account = site.account(scope.name, scope.name, scope.options, name);
  const setup = setupJob(site, scope, setupOf(site, scope, plan));
  const spec = JSON.stringify(specOf(site, scope, plan));
  const process: Process = {
    account,
    code,
    tools: toolArtifacts(site, plan.tools),
    environment: environmentOf(site, scope, plan, links, {
      MILLRACE_FUNCTION: spec,
      MILLRACE_HEALTH_PORT: String(HEALTH_PORT),
    }),
    machine: plan,
    grace: Math.ceil(plan.timeout) + MARGIN,
    health: "listens",
    mounts: mountsOf(scope, plan),
    ...besideOf(site, scope, plan),
  };
  const deployment = deploymentOf(site, scope, { name, part: scope.name, process, isScaled: true });
  const scaledObject = scaling(site, scope, plan, name, [deployment, setup]);
  const published = publishers(site, scope, plan, account);
  return {
    id: pulumi.output(callSubject(site, scope, plan.name)),
    address: {
      subject: pulumi.output(callSubject(site, scope, plan.name)),
      timeout: pulumi.output(String(Math.ceil(plan.timeout) + COLD_START)),
    },
    resources: {
      deployment,
      scaledObject,
      code: code.object,
      setup,
      budget: budget(site, scope, scope.name, name),
      ...Object.fromEntries(published.map((job, index) => [`schedule-${index + 1}`, job])),
    },
  };
}

/**
 * A CronJob that is suspended for ever: from its template the task's keeper makes one Job for each attempt.
 *
 * @see https://kubernetes.io/docs/concepts/workloads/controllers/job/
 */
function worker(site: Site, scope: Scope, plan: FunctionPlan, task: TaskPlan): Built {
  const name = workerName(scope, task);
  const links = {
    ...linksOf(scope, plan),
    [OWN_TASK]: { port: runtimeFile("own-task"), address: taskAddress(site, scope, task) },
  };
  const code = upload(site, scope, plan, "job", links);
  const account = site.account(scope.name, scope.name, scope.options, scope.physicalName(OBJECT_NAME));
  const { queue } = site.settings.kueue ?? {};
  const admitted = queue === undefined ? {} : { "kueue.x-k8s.io/queue-name": queue };
  const job = site.make(
    kubernetes.batch.v1.CronJob,
    scope.name,
    {
      metadata: site.metadata(name, scope.name),
      spec: {
        // A time that would come once a year, if it ever were to.
        schedule: "0 0 1 1 *",
        timeZone: "Etc/UTC",
        suspend: true,
        concurrencyPolicy: "Allow",
        jobTemplate: {
          metadata: { labels: { ...site.labels(scope.name), ...admitted } },
          spec: {
            backoffLimit: 0,
            activeDeadlineSeconds: Math.ceil(task.timeout) + Math.ceil(task.grace) + JOB_MARGIN,
            ttlSecondsAfterFinished: JOB_KEPT,
            template: {
              metadata: { labels: site.labels(scope.name), annotations: KEPT_IN_PLACE },
              spec: podSpec(site, {
                account,
                code,
                tools: toolArtifacts(site, plan.tools),
                environment: environmentOf(site, scope, plan, links, {}),
                machine: plan,
                grace: Math.ceil(task.grace) + MARGIN,
                restart: "Never",
                mounts: mountsOf(scope, plan),
                ...besideOf(site, scope, plan),
              }),
            },
          },
        },
      },
    },
    scope.options,
  );
  return { id: pulumi.output(name), address: { job: pulumi.output(name) }, resources: { job, code: code.object } };
}

/**
 * The function as a step of a workflow: a pod that does one call, with all that the function's own pods have.
 *
 * @param part logical name of what is made for it
 */
export function stepProcess(
  site: Site,
  scope: Scope,
  plan: FunctionPlan,
  { part, folder, account, table, more = {} }: StepProcess,
): Process {
  const links = { ...linksOf(scope, plan), ...more };
  return {
    account,
    code: site.upload(codeOf(plan, "step", portsOf(links)), `code/${folder}`, `${part}-code`, scope.options),
    tools: toolArtifacts(site, plan.tools),
    environment: environmentOf(site, scope, { ...plan, sources: [] }, links, { MILLRACE_FLOW: table }),
    machine: plan,
    grace: MARGIN,
    restart: "Never",
    mounts: mountsOf(scope, plan),
    ...besideOf(site, scope, plan),
  };
}

export interface StepProcess {
  readonly part: string;
  /** Of its code, and of no other. */
  readonly folder: string;
  readonly account: pulumi.Input<string>;
  /** The workflow's. */
  readonly table: string;
  /** Links that the plan does not have. @default none */
  readonly more?: Links;
}

/** What a Deployment is made of beside its pod. */
interface Deployed {
  readonly name: string;
  readonly part: string;
  readonly process: Process;
  /** Whether KEDA says how many there are; else there is one, and never two. */
  readonly isScaled: boolean;
}

/** https://kubernetes.io/docs/concepts/workloads/controllers/deployment/ */
export function deploymentOf(
  site: Site,
  scope: Scope,
  { name, part, process, isScaled }: Deployed,
  dependsOn: readonly pulumi.Resource[] = [],
): kubernetes.apps.v1.Deployment {
  // What is scaled to nothing cannot be waited for.
  const annotations = isScaled ? { annotations: { "pulumi.com/skipAwait": "true" } } : {};
  return site.make(
    kubernetes.apps.v1.Deployment,
    part,
    {
      metadata: site.metadata(name, part, annotations),
      spec: {
        replicas: isScaled ? 0 : 1,
        revisionHistoryLimit: 3,
        strategy: { type: isScaled ? "RollingUpdate" : "Recreate" },
        selector: { matchLabels: site.selector(name) },
        template: {
          metadata: { labels: { ...site.labels(part), ...site.selector(name) } },
          spec: podSpec(site, process),
        },
      },
    },
    { ...scope.options, ...(isScaled && { ignoreChanges: ["spec.replicas"] }), dependsOn: [...dependsOn] },
  );
}

/** Nodes are emptied one pod at a time. https://kubernetes.io/docs/tasks/run-application/configure-pdb/ */
export const budget = (
  site: Site,
  scope: Scope,
  part: string,
  name: string,
): kubernetes.policy.v1.PodDisruptionBudget =>
  site.make(
    kubernetes.policy.v1.PodDisruptionBudget,
    `${part}-budget`,
    {
      metadata: site.metadata(name, part),
      spec: {
        maxUnavailable: 1,
        selector: { matchLabels: site.selector(name) },
        // One that does not get ready anyway holds up nobody.
        unhealthyPodEvictionPolicy: "AlwaysAllow",
      },
    },
    scope.options,
  );

/** The programs of a function's code, and where they find what they need. */
function besideOf(site: Site, scope: Scope, plan: FunctionPlan): Pick<Process, "sidecars" | "affinity"> {
  const sidecars = sidecarsOf(site, scope, plan);
  const affinity = gpuAffinity(sidecars);
  return { sidecars, ...(affinity && { affinity }) };
}

/** By their names: the module that speaks with what is linked, and where that lies. */
export type Links = Readonly<Record<string, { readonly port: string; readonly address: pulumi.Input<LinkAddress> }>>;

const linksOf = (scope: Scope, plan: FunctionPlan): Links =>
  Object.fromEntries(
    Object.entries(plan.links).map(([name, link]) => [name, programLink(scope, plan, link) ?? linkOf(scope, link)]),
  );

/** The program is a container beside this function. */
function programLink(scope: Scope, plan: FunctionPlan, { part }: LinkPlan): Links[string] | undefined {
  const address = programAddress(plan, part, scope.plan);
  return address && { port: runtimeFile("sidecar"), address: pulumi.output(address) };
}

/** What a function claims of a stream is kept under a name of its own. */
function linkOf(scope: Scope, link: LinkPlan): Linked {
  const linked = scope.link(link, ({ kind }) => runtimeFile(PORTS[kind]!));
  if (!link.actions.includes("stream.claim")) return linked;
  return {
    ...linked,
    address: linked.address.apply((fields): LinkAddress => ({ ...fields, group: ledgerName(scope) })),
  };
}

function upload(site: Site, scope: Scope, plan: FunctionPlan, entry: "entry" | "job", links: Links): Artifact {
  const ports = {
    ...portsOf(links),
    ...(plan.sources.some(({ type }) => type === "bucket.created") && { [OWN_STORE]: runtimeFile("bucket") }),
    ...(streamsOf(plan).length > 0 && { [OWN_STREAMS]: runtimeFile("stream-consumer") }),
  };
  return site.upload(
    codeOf(plan, entry, ports),
    `code/${scope.physicalName(OBJECT_NAME)}`,
    `${scope.name}-code`,
    scope.options,
  );
}

const portsOf = (links: Links): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(links).map(([name, { port }]) => [name, port]));

function environmentOf(
  site: Site,
  scope: Scope,
  { environment, sources, tools }: FunctionPlan,
  links: Links,
  more: Readonly<Record<string, string>>,
): pulumi.Output<Readonly<Record<string, string>>> {
  const addresses = pulumi.output(
    Object.fromEntries(Object.entries(links).map(([name, { address }]) => [name, address])),
  );
  const names = sources.flatMap((source) =>
    source.type === "schedule.fired" || source.type === "stream.consumed" ? [] : [partOf(source)],
  );
  const known = [...new Set(names)].map((name) => scope.part(name).id.apply((id) => [id, name] as const));
  return pulumi.all([placeOf(site), addresses, pulumi.all(known)]).apply(([place, all, pairs]) => ({
    ...environment,
    ...writeEnvironment({
      place,
      logLevel: "info",
      tools: toolPaths(tools),
      sources: Object.fromEntries(pairs),
      links: all as Readonly<Record<string, LinkAddress>>,
    }),
    ...more,
  }));
}

/** Volumes and secrets are files of a pod. */
function mountsOf(scope: Scope, plan: FunctionPlan): NonNullable<Process["mounts"]> {
  const { links } = plan;
  const names = [...Object.values(links).map(({ part }) => part), ...streamSecrets(scope, plan)];
  const parts = [...new Set(names)].map((part) => scope.plan(part));
  const isWritten = (part: string) =>
    Object.values(links).some((link) => link.part === part && link.actions.includes("volume.write"));
  return [
    ...parts
      .filter((part): part is VolumePlan => part.kind === "volume")
      .map((part, index) => volumeMount(scope, part, index, !isWritten(part.name))),
    ...parts
      .filter((part): part is SecretPlan => part.kind === "secret")
      .map((part, index) => secretMount(scope, part, index)),
  ];
}
