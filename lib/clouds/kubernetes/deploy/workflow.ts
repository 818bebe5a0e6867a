import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { functionBeside } from "../../../parts/beside.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { CodePlan, FunctionPlan, LinkPlan, TaskPlan, WorkflowPlan } from "../../../parts/plan.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import { writeEnvironment } from "../../../shared/environment.ts";
import { type Step, stepsOf } from "../../../shared/workflow/definition.ts";
import type { FlowKeeperJson } from "../runtime/flow-keep.ts";
import { codeOf, programOf, runtimeFile } from "./code.ts";
import { setupJob } from "./errand.ts";
import { checkFlow } from "./flow-check.ts";
import { type FlowPod, flowDefinition, stepTemplates } from "./flow-definition.ts";
import type { ArgoSpec } from "./flow-templates.ts";
import { KEPT_IN_PLACE, type Links, stepProcess } from "./function.ts";
import { grant, keeper } from "./keeper.ts";
import { FLOW_NAME, keeperName, labelValue, NATS_NAME, OBJECT_NAME } from "./names.ts";
import { apiPolicy, HEALTH_PORT } from "./network.ts";
import { type Process, placeOf, plainEnvironment, podSpec, SMALL } from "./pod.ts";
import { FLOW_EXECUTOR_RULES, FLOW_KEEPER_RULES } from "./rbac.ts";
import type { Site } from "./shared.ts";
import { taskAddress } from "./task.ts";
import { callStream } from "./trigger.ts";

/** Seconds until what a keeper was told is told to another one. */
const VISIBILITY = 30;
/** Seconds that a Workflow and its pods stay when they are over: they take room in etcd, and the run's row has it all. */
const KEPT = 86_400;
/** What a pod that waits takes. */
const WAITING = { memory: 128 * 2 ** 20, cpu: 0.05 };

/**
 * A workflow: a WorkflowTemplate of Argo whose steps are pods of the functions themselves, a table of its runs, and a
 * keeper, which makes a Workflow for each; nobody else may.
 *
 * @see https://argo-workflows.readthedocs.io/en/latest/workflow-templates/
 */
export function workflow(site: Site, scope: Scope, plan: WorkflowPlan): Built {
  const name = templateName(scope, plan);
  const fields = addressFields(site, scope, plan);
  const setup = setupJob(site, scope, {
    streams: [callStream(site)],
    consumers: [{ stream: site.calls, name: keeperName(scope, plan), subject: fields.keeper, visibility: VISIBILITY }],
    tables: [fields.table],
  });
  const executor = executorOf(site, scope, name);
  const network = apiPolicy(site, scope.name, name, flowLabels(name), scope.options);
  const template = site.custom(
    {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "WorkflowTemplate",
      metadata: site.metadata(name, scope.name),
      spec: specOf(site, scope, plan, executor.name),
    },
    scope.name,
    { ...scope.options, dependsOn: [executor.binding, executor.token, network] },
  );
  const part = `${scope.name}-keep`;
  return {
    id: pulumi.output(name),
    address: Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, pulumi.output(value)])),
    resources: {
      ...{ template, setup, executor: executor.role, token: executor.token },
      ...keeper(site, scope, {
        part,
        name: keeperName(scope, plan),
        code: codeOf(keeperPlan(plan), "flow-keep", {}),
        environment: keeperEnvironment(site, scope, plan),
        rules: FLOW_KEEPER_RULES,
        setup,
      }),
    },
  };
}

/** The WorkflowTemplate's name; those of its Workflows are longer. */
export const templateName = (scope: Scope, { name }: WorkflowPlan): string => scope.physicalName(FLOW_NAME, name);

/** Where it lies, for those who start, watch, steer and answer. */
const addressFields = (site: Site, scope: Scope, plan: WorkflowPlan) => ({
  table: scope.physicalName(NATS_NAME, plan.name),
  keeper: `${site.prefix}.keep.${keeperName(scope, plan)}`,
});

/** Chooses the pods of a workflow's steps. `runtime/labels.ts` has it so, too. */
const flowLabels = (name: string): Record<string, string> => ({ "millrace/flow": name });

/**
 * Who tells Argo how a pod ended: a container of its own beside each step. Its token is in that container alone, and it
 * finds it by its name. https://argo-workflows.readthedocs.io/en/latest/service-accounts/
 */
function executorOf(site: Site, scope: Scope, template: string) {
  const part = `${scope.name}-executor`;
  const name = scope.physicalName(OBJECT_NAME, scope.name, "executor");
  const account = site.account(part, part, scope.options, name);
  const { role, binding } = grant(site, scope, { part, name, account, rules: FLOW_EXECUTOR_RULES });
  const token = site.make(
    kubernetes.core.v1.Secret,
    `${part}-token`,
    {
      metadata: {
        ...site.metadata(`${name}.service-account-token`, part, { labels: flowLabels(template) }),
        annotations: { "kubernetes.io/service-account.name": account },
      },
      type: "kubernetes.io/service-account-token",
    },
    scope.options,
  );
  return { name, role, binding, token };
}

/** The pods are known once what they fetch is; the shape of it all is the plan's. */
function specOf(site: Site, scope: Scope, plan: WorkflowPlan, executor: string): pulumi.Output<ArgoSpec> {
  const name = templateName(scope, plan);
  const { functions, tasks, asked } = usedBy(plan);
  const pods = pulumi.all([
    podsOf(functions.map((part) => [part, functionPod(site, scope, plan, part)])),
    podsOf(tasks.map((part) => [part, taskPod(site, scope, plan, part)])),
    podsOf(asked.map((ask) => [askedKey(ask), askPod(site, scope, plan, ask)])),
    podsOf([["failed", podOf(site, name, scope.name, failedProcess(site))]]),
  ]);
  const { pullSecrets = [] } = site.settings;
  return pods.apply((texts) => {
    const [functions, tasks, asked, ours] = texts.map((text) => new Map(JSON.parse(text) as [string, FlowPod][]));
    const template = flowDefinition(plan.definition, {
      ...{ name, executor, labels: {}, timeout: plan.timeout, kept: KEPT },
      ...(pullSecrets.length > 0 && { pullSecrets: pullSecrets.map((name) => ({ name })) }),
      function: (part) => functions!.get(part)!,
      task: (part) => tasks!.get(part)!,
      ask: (kind, name) => asked!.get(askedKey({ kind, name }))!,
      failed: ours!.get("failed")!,
    });
    const problems = checkFlow(template);
    if (problems.length > 0) throw new Error(`${plan.name}: ${problems.join("; ")}`);
    return template.spec;
  });
}

/** By the parts' names, as JSON: of anything else Pulumi's types would make something else. */
const podsOf = (pods: readonly (readonly [string, pulumi.Output<FlowPod>])[]): pulumi.Output<string> =>
  pulumi
    .all(pods.map(([name, pod]) => pod.apply((pod) => JSON.stringify([name, pod]))))
    .apply((texts) => `[${texts.join(",")}]`);

interface Asked {
  readonly kind: "queue" | "function";
  readonly name: string;
}

const askedKey = ({ kind, name }: Asked): string => `${kind} ${name}`;

/** The parts that a workflow's steps speak with, each once. */
export function usedBy({ definition }: WorkflowPlan) {
  const steps = stepsOf(definition);
  const names = (nameOf: (step: Step) => string | undefined) => [
    ...new Set(steps.flatMap((step) => nameOf(step) ?? [])),
  ];
  const asks = steps.flatMap((step) => (step.type === "callback" ? [step.ask] : []));
  return {
    functions: names((step) => (step.type === "function" ? step.function : undefined)),
    tasks: names((step) => (step.type === "task" ? step.task : undefined)),
    asked: [...new Map(asks.map((ask) => [askedKey(ask), ask] as const)).values()],
  };
}

/** As the part's own pods are, and found by the policies that are for those. */
function podOf(site: Site, template: string, part: string, process: Process, timeout?: number): pulumi.Output<FlowPod> {
  return pulumi.output(podSpec(site, process)).apply(
    (spec): FlowPod => ({
      spec: spec as unknown as FlowPod["spec"],
      labels: { ...site.labels(part), ...flowLabels(template) },
      annotations: KEPT_IN_PLACE,
      ...(timeout !== undefined && { timeout }),
    }),
  );
}

function functionPod(site: Site, scope: Scope, plan: WorkflowPlan, part: string): pulumi.Output<FlowPod> {
  const process = stepProcess(site, insideOf(scope, part), scope.plan(part) as FunctionPlan, {
    // By its stem, which stays when the construct is renamed: its old name is then found.
    part: `${plan.name}-does-${scope.plan(part).stem}`,
    folder: `${templateName(scope, plan)}/${scope.physicalName(OBJECT_NAME, part)}`,
    account: scope.physicalName(OBJECT_NAME, part),
    table: addressFields(site, scope, plan).table,
  });
  return podOf(site, templateName(scope, plan), part, process, (scope.plan(part) as FunctionPlan).timeout);
}

/** The same scope, as another part has it. */
const insideOf = (scope: Scope, part: string): Scope => ({
  ...scope,
  name: part,
  physicalName: (rule, name = part, suffix) => scope.physicalName(rule, name, suffix),
});

/** Submits a run of a task and waits for its end. */
function taskPod(site: Site, scope: Scope, plan: WorkflowPlan, task: string): pulumi.Output<FlowPod> {
  const address = taskAddress(site, scope, scope.plan(task) as TaskPlan);
  const link = { task: { port: runtimeFile("flow-task"), address } };
  return waitingPod(site, scope, plan, `runs-${scope.plan(task).stem}`, "flow-perform", {}, link);
}

/** Asks, and waits for the answer. */
function askPod(site: Site, scope: Scope, plan: WorkflowPlan, { kind, name }: Asked): pulumi.Output<FlowPod> {
  const link = { part: name, actions: [kind === "queue" ? "queue.send" : "function.invoke"] } as const;
  return waitingPod(site, scope, plan, `asks-${scope.plan(name).stem}`, "flow-ask", { asked: link }, {});
}

/** A small pod of ours that does its step by waiting for others. */
function waitingPod(
  site: Site,
  scope: Scope,
  plan: WorkflowPlan,
  id: string,
  file: string,
  links: Readonly<Record<string, LinkPlan>>,
  more: Links,
): pulumi.Output<FlowPod> {
  const part = `${plan.name}-${id}`;
  const folder = scope.physicalName(OBJECT_NAME, plan.name, id);
  const account = site.account(part, part, scope.options, folder);
  const waits = { ...ownPlan(plan, id, { file: runtimeFile(file) }), links };
  const { table } = addressFields(site, scope, plan);
  const turns = { port: runtimeFile("flow-turns"), address: flowAddress(site, scope, plan) };
  const process = stepProcess(site, scope, waits, { part, folder, account, table, more: { ...more, turns } });
  return podOf(site, templateName(scope, plan), part, { ...process, atRest: WAITING });
}

const flowAddress = (site: Site, scope: Scope, plan: WorkflowPlan): pulumi.Output<LinkAddress> =>
  pulumi
    .output(addressFields(site, scope, plan))
    .apply((fields): LinkAddress => ({ ...fields, kind: "workflow", part: plan.name }));

const failedProcess = (site: Site): Process => ({
  account: site.setupAccount,
  code: site.errand("flow-failed", () => programOf("flow-failed")),
  environment: plainEnvironment(site, {}),
  machine: SMALL,
  grace: 5,
  restart: "Never",
});

const keeperEnvironment = (site: Site, scope: Scope, plan: WorkflowPlan) =>
  pulumi.all([placeOf(site), flowAddress(site, scope, plan), site.namespace]).apply(([place, runs, namespace]) => ({
    ...writeEnvironment({ place, logLevel: "info", tools: {}, sources: {}, links: { runs } }),
    MILLRACE_KEEPER: JSON.stringify({
      stream: site.calls,
      consumer: keeperName(scope, plan),
      namespace,
      template: templateName(scope, plan),
      templates: stepTemplates(plan.definition),
      labels: { ...site.labels(plan.name), "app.kubernetes.io/instance": labelValue(templateName(scope, plan)) },
      timeout: plan.timeout,
    } satisfies FlowKeeperJson),
    MILLRACE_HEALTH_PORT: String(HEALTH_PORT),
  }));

const keeperPlan = (plan: WorkflowPlan): FunctionPlan => ownPlan(plan, "keep", { file: runtimeFile("flow-keeper") });

/** What is ours, as a function, for its bundle's sake. */
const ownPlan = (plan: WorkflowPlan, id: string, handler: CodePlan): FunctionPlan =>
  functionBeside(plan, id, { handler });
