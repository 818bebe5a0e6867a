import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { functionBeside, scopeBeside } from "../../../parts/beside.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, WorkflowPlan } from "../../../parts/plan.ts";
import { type Step, stepsOf } from "../../../shared/workflow/definition.ts";
import { portOf, runtimeFile } from "./code.ts";
import { flowDefinition } from "./flow-definition.ts";
import { INLINE_ITEMS } from "./flow-map.ts";
import { functionOf } from "./function.ts";
import {
  callbackGrant,
  callbackPartition,
  executionsArn,
  FUNCTION_NAME,
  functionArn,
  type Grant,
  linkGrants,
  machineArn,
  machineName,
  role,
  unscoped,
} from "./permissions.ts";
import type { Site } from "./shared.ts";
import { written } from "./task.ts";

/**
 * A workflow: a state machine whose executions are its runs, and for each task among its steps a function that submits
 * runs of it and looks how they went. What callbacks wait for lies in the region's task table.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
 */
export function workflow(site: Site, scope: Scope, plan: WorkflowPlan): Built {
  const used = usedBy(plan);
  const asking = used.tasks.map((task) => [task, taskFunction(site, scope, plan, task)] as const);
  const logs = site.logGroup(
    `${scope.name}-logs`,
    `/aws/vendedlogs/states/${machineName(scope, plan)}`,
    scope.name,
    scope.options,
  );
  const own = role(site, scope, "machine", "states.amazonaws.com", grantsOf(site, scope, plan, used));
  const machine = site.make(
    aws.sfn.StateMachine,
    scope.name,
    {
      name: machineName(scope, plan),
      type: "STANDARD",
      definition: definitionOf(site, scope, plan, used),
      roleArn: own.arn,
      // Failures with their causes; what runs are given and give is nobody's to read here.
      loggingConfiguration: {
        level: "ERROR",
        includeExecutionData: false,
        logDestination: pulumi.interpolate`${logs.arn}:*`,
      },
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  return {
    id: machine.arn,
    address: addressOf(site, scope, plan, used),
    resources: {
      ...{ machine, logs, role: own.role, policy: own.policy },
      ...Object.fromEntries(
        asking.flatMap(([task, { resources }]) =>
          Object.entries(resources).map(([name, made]) => [`${task}-${name}`, made]),
        ),
      ),
    },
  };
}

/** The parts that a workflow's steps speak with, each once. */
interface Used {
  readonly functions: readonly string[];
  readonly tasks: readonly string[];
  readonly queues: readonly string[];
  readonly hasCallbacks: boolean;
  readonly hasWideMaps: boolean;
}

function usedBy({ definition }: WorkflowPlan): Used {
  const steps = stepsOf(definition);
  const names = (nameOf: (step: Step) => string | undefined) => [
    ...new Set(steps.flatMap((step) => nameOf(step) ?? [])),
  ];
  const asked = (step: Step, kind: "queue" | "function") =>
    step.type === "callback" && step.ask.kind === kind ? step.ask.name : undefined;
  return {
    functions: names((step) => (step.type === "function" ? step.function : asked(step, "function"))),
    tasks: names((step) => (step.type === "task" ? step.task : undefined)),
    queues: names((step) => asked(step, "queue")),
    hasCallbacks: steps.some(({ type }) => type === "callback"),
    hasWideMaps: steps.some((step) => step.type === "map" && step.atMost > INLINE_ITEMS),
  };
}

/** Where it lies, for those who start, watch, steer and answer. */
const addressOf = (site: Site, scope: Scope, plan: WorkflowPlan, { hasCallbacks }: Used) => ({
  machine: machineArn(site, scope, plan),
  region: pulumi.output(site.region),
  ...(hasCallbacks && { table: site.taskTable, partition: pulumi.output(callbackPartition(plan)) }),
});

function definitionOf(site: Site, scope: Scope, plan: WorkflowPlan, used: Used): pulumi.Output<string> {
  const named = (names: readonly string[], of: (name: string) => pulumi.Input<string>) =>
    pulumi.output(Object.fromEntries(names.map((name) => [name, of(name)])));
  const functions = named(used.functions, (name) => functionArn(site, scope.physicalName(FUNCTION_NAME, name)));
  const tasks = named(used.tasks, (name) => functionArn(site, taskFunctionName(scope, plan, name)));
  const queues = named(used.queues, (name) => scope.part(name).address.queue!);
  const table = used.hasCallbacks ? site.taskTable : "";
  const timeouts = Object.fromEntries(
    used.functions.map((name) => [name, (scope.plan(name) as FunctionPlan).timeout] as const),
  );
  const partition = callbackPartition(plan);
  return pulumi
    .all([functions, tasks, queues, table])
    .apply(([functions, tasks, queues, table]) =>
      written(site, flowDefinition(plan, { functions, tasks, queues, table, timeouts, partition })),
    );
}

/** What the machine does by itself, and nothing more. https://docs.aws.amazon.com/step-functions/latest/dg/service-integration-iam-templates.html */
function grantsOf(site: Site, scope: Scope, plan: WorkflowPlan, used: Used): readonly Grant[] {
  const called = [
    ...used.functions.map((name) => scope.physicalName(FUNCTION_NAME, name)),
    ...used.tasks.map((name) => taskFunctionName(scope, plan, name)),
  ];
  return [
    { actions: ["lambda:InvokeFunction"], resources: called.map((name) => functionArn(site, name)) },
    { actions: ["sqs:SendMessage"], resources: used.queues.map((name) => scope.part(name).id) },
    ...(used.hasCallbacks
      ? [callbackGrant(site, plan, ["dynamodb:UpdateItem", "dynamodb:GetItem", "dynamodb:DeleteItem"])]
      : []),
    ...(used.hasWideMaps ? wideMapGrants(site, scope, plan) : []),
    unscoped("logDelivery"),
  ];
}

/** Items of a distributed map are executions of their own. https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html */
const wideMapGrants = (site: Site, scope: Scope, plan: WorkflowPlan): readonly Grant[] => [
  { actions: ["states:StartExecution"], resources: [machineArn(site, scope, plan)] },
  {
    actions: ["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"],
    resources: [
      executionsArn(site, scope, plan),
      // Their names have the map's label in them.
      site.arn("states", `execution:${machineName(scope, plan)}/*`),
    ],
  },
];

const taskFunctionName = (scope: Scope, plan: WorkflowPlan, task: string): string =>
  scope.physicalName(FUNCTION_NAME, plan.name, taskFunctionId(scope, task));

/** By the task's stem, which stays when the construct is renamed: the function's old name is then found. */
const taskFunctionId = (scope: Scope, task: string): string => `runs-${scope.plan(task).stem}`;

/** The function that submits runs of a task for a workflow, and looks how they went. */
function taskFunction(site: Site, scope: Scope, plan: WorkflowPlan, task: string): Built {
  const id = taskFunctionId(scope, task);
  const link = { part: task, actions: ["task.submit", "task.read", "task.control"] } as const;
  const asking = functionBeside(plan, id, { handler: { id: "flows/task" }, links: { task: link } });
  const inside = scopeBeside(scope, plan, id);
  const { address } = scope.link(link, (part) => runtimeFile(portOf(part)));
  return functionOf(site, inside, asking, {
    name: taskFunctionName(scope, plan, task),
    links: { task: { port: runtimeFile("flow-task"), address } },
    grants: linkGrants(site, scope, [link]),
    sources: [],
  });
}
