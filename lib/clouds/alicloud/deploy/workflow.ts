import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import { functionBeside, scheduleBeside, scopeBeside } from "../../../parts/beside.ts";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { FunctionPlan, TaskPlan, WorkflowPlan } from "../../../parts/plan.ts";
import type { LinkAddress } from "../../../runtime/deployment.ts";
import type { NameRule } from "../../../shared/name.ts";
import { stepsOf } from "../../../shared/workflow/definition.ts";
import { runtimeFile } from "./code.ts";
import { chunkDefinitions, type FlowFunction, type FlowWorld, flowDefinition, QUALIFIER } from "./flow-definition.ts";
import { wideMaps } from "./flow-estimate.ts";
import { type Constructor, type FlowDefinition, flowText, withParameters } from "./flow-states.ts";
import { type FunctionParts, functionOf, linkOf } from "./function.ts";
import { ALL_FLOWS, FUNCTION_NAME, functionArn, type Grant, linkGrants, RAM_ACTIONS, role } from "./permissions.ts";
import { type Site, TABLE_NAME, tableArgs } from "./shared.ts";

/** What takes too long is ended at most that late. */
const KEEPER_SECONDS = 300;

/**
 * A flow of CloudFlow with a role that may call exactly its functions, and the functions of ours that it needs: one
 * that counts, one for each task, one for each part that is asked, with a table of who waits, and one that ends runs
 * that take too long. A map that is wider than one execution carries has a flow of its own, for some of its items at a
 * time.
 *
 * @see https://www.alibabacloud.com/help/en/serverless-workflow/latest/process-definition-introduction
 */
export function workflow(site: Site, scope: Scope, plan: WorkflowPlan): Built {
  const name = scope.physicalName(FLOW_NAME);
  const maps = wideMaps(plan.definition, (task) => (scope.plan(task) as TaskPlan).timeout);
  const chunkFlow = (map: string) => scope.physicalName(FLOW_NAME, plan.name, `${map}-items`);
  const helpers = helpersOf(site, scope, plan, { flow: name, chunks: [...maps.keys()].map(chunkFlow) });
  const world: FlowWorld = {
    name,
    function: (part) => functionTarget(scope, part),
    next: helpers.next.target,
    task: (part) => helpers.tasks.get(part)!.target,
    ask: (kind, part) => helpers.asked.get(askedKey(kind, part))!.target,
    ...(helpers.batches && { wide: { maps, flow: chunkFlow, batches: helpers.batches.target } }),
  };
  const flow = flowDefinition(plan.definition, world);
  const chunks = [...chunkDefinitions(plan.definition, world)];
  const called = [...new Set([flow, ...chunks.map(([, one]) => one)].flatMap(functionsOf))];
  const arns = pulumi.all(Object.fromEntries(called.map((one) => [one, functionArn(site, one)])));
  const grant: Grant = { actions: ["fc:InvokeFunction"], resources: called.map((one) => functionArn(site, one)) };
  const own = role(site, scope, "role", "fnf.aliyuncs.com", [grant]);
  const make = (logical: string, what: string, definition: FlowDefinition) =>
    site.make(
      alicloud.fnf.Flow,
      logical,
      {
        name: definition.Name,
        type: "FDL",
        description: `${what} of ${pulumi.getProject()}/${pulumi.getStack()}`,
        definition: arns.apply((known) => flowText(withArns(definition, known))),
        roleArn: own.arn,
      },
      { ...scope.options, dependsOn: [own.attachment] },
    );
  const made = make(scope.name, plan.name, flow);
  const parts = chunks.map(
    ([map, one]) =>
      [`${map}-items`, make(`${scope.name}-${map}-items`, `items of ${map} in ${plan.name}`, one)] as const,
  );
  const used = helpers.all.filter(({ target, isKeeper }) => isKeeper || called.includes(target.arn));
  const built = used.map(({ id, build }) => [id, build()] as const);
  const address = addressOf(site, plan, {
    flow: made.name,
    chunks: parts.map(([, { name }]) => name),
    table: helpers.table?.tableName,
  });
  return {
    id: made.name,
    address,
    resources: {
      flow: made,
      role: own.role,
      policy: own.policy,
      ...Object.fromEntries(parts),
      ...(helpers.table && { table: helpers.table }),
      ...Object.fromEntries(
        built.flatMap(([id, { resources }]) =>
          Object.entries(resources).map(([inner, resource]) => [`${id}-${inner}`, resource] as const),
        ),
      ),
    },
  };
}

/** What a workflow is made of, by the names that are known of it. */
interface FlowNames {
  readonly flow: pulumi.Input<string>;
  /** The flows that do items of its maps. */
  readonly chunks: readonly pulumi.Input<string>[];
}

/** Where a workflow lies, for those who start, control and answer it, and for its own functions. */
const addressOf = (
  site: Site,
  plan: WorkflowPlan,
  { flow, chunks, table }: FlowNames & { readonly table: pulumi.Input<string> | undefined },
): Built["address"] => ({
  flow: pulumi.output(flow),
  region: pulumi.output(site.region),
  timeout: pulumi.output(String(plan.timeout)),
  steps: pulumi.output(
    stepsOf(plan.definition)
      .map(({ name }) => name)
      .join(","),
  ),
  ...(chunks.length > 0 && { chunks: pulumi.all([...chunks]).apply((names) => names.join(",")) }),
  ...(table !== undefined && { table: pulumi.output(table), instance: site.tables }),
});

/** While a flow is compiled, its functions are named; their ARNs hold the account, which may be known later only. */
const functionTarget = (scope: Scope, part: string): FlowFunction => ({
  arn: scope.physicalName(FUNCTION_NAME, part),
  timeout: (scope.plan(part) as FunctionPlan).timeout,
});

/** The functions that a flow calls. */
function functionsOf(flow: FlowDefinition): readonly string[] {
  const called = new Set<string>();
  withParameters(flow, (parameters) => {
    called.add(nameIn(parameters));
    return parameters;
  });
  return [...called];
}

const withArns = (flow: FlowDefinition, arns: Readonly<Record<string, string>>): FlowDefinition =>
  withParameters(flow, (parameters) => ({
    ...parameters,
    resourceArn: `${arns[nameIn(parameters)]!}${QUALIFIER}`,
  }));

const nameIn = ({ resourceArn }: Constructor): string => (resourceArn as string).slice(0, -QUALIFIER.length);

interface Helper {
  /** Its resources are named by it. */
  readonly id: string;
  readonly target: FlowFunction;
  readonly isKeeper: boolean;
  readonly build: () => Built;
}

const askedKey = (kind: string, part: string): string => `${kind} ${part}`;

/** The functions of ours that a workflow may need; those that nothing calls are not built. */
function helpersOf(site: Site, scope: Scope, plan: WorkflowPlan, names: FlowNames) {
  const steps = stepsOf(plan.definition);
  const tasks = [...new Set(steps.flatMap((step) => (step.type === "task" ? [step.task] : [])))];
  const asks = steps.flatMap((step) => (step.type === "callback" ? [step.ask] : []));
  const asked = [...new Map(asks.map((ask) => [askedKey(ask.kind, ask.name), ask] as const)).values()];
  const isWide = names.chunks.length > 0;
  const table = asked.length > 0 || isWide ? tableOf(site, scope) : undefined;
  const helper = (id: string, handler: string, parts: () => HelperParts, isKeeper = false): Helper => {
    const target = { arn: scope.physicalName(FUNCTION_NAME, plan.name, id), timeout: HELPER_SECONDS };
    return {
      id,
      target,
      isKeeper,
      build: () => helperFunction(site, scope, plan, { id, handler, name: target.arn, ...parts() }),
    };
  };
  const own = (): pulumi.Output<LinkAddress> =>
    pulumi
      .all(addressOf(site, plan, { ...names, table: table?.tableName }))
      .apply((fields): LinkAddress => ({ ...fields, kind: "workflow", part: plan.name }));
  const next = helper("next", "flows/next", () => ({ links: {}, grants: [] }));
  const keep = helper(
    "keep",
    "flows/keep",
    () => ({
      links: { runs: { port: runtimeFile("flow-keeper"), address: own() } },
      grants: [
        { actions: KEEPER_ACTIONS, resources: ALL_FLOWS },
        ...(isWide ? batchGrants(site, table!.tableName, BATCH_KEEPER_ACTIONS) : []),
      ],
    }),
    true,
  );
  const batches = helper("batch", "flows/batch", () => ({
    links: { batches: { port: runtimeFile("batches"), address: own() } },
    grants: batchGrants(site, table!.tableName, BATCH_ACTIONS),
  }));
  const ofTasks = tasks.map((part, index) => {
    const link = { part, actions: ["task.submit", "task.read", "task.control"] } as const;
    return [
      part,
      helper(`task-${index + 1}`, "flows/task", () => ({
        links: { task: { ...linkOf(scope, link), port: runtimeFile("flow-task") } },
        grants: linkGrants(site, scope, [link]),
      })),
    ] as const;
  });
  const ofAsked = asked.map(({ kind, name: part }, index) => {
    const link = { part, actions: kind === "queue" ? (["queue.send"] as const) : (["function.invoke"] as const) };
    return [
      askedKey(kind, part),
      helper(`ask-${index + 1}`, "flows/ask", () => ({
        links: {
          asked: linkOf(scope, link),
          callbacks: { port: runtimeFile("callbacks"), address: own() },
        },
        grants: [...linkGrants(site, scope, [link]), ...answerGrants(site, table!.tableName)],
      })),
    ] as const;
  });
  return {
    table,
    next,
    tasks: new Map(ofTasks),
    asked: new Map(ofAsked),
    ...(isWide && { batches }),
    all: [next, batches, ...ofTasks.map(([, one]) => one), ...ofAsked.map(([, one]) => one), keep],
  };
}

/** What whoever answers needs, and whoever takes down that somebody waits. */
const answerGrants = (site: Site, table: pulumi.Input<string>): readonly Grant[] => [
  { actions: RAM_ACTIONS["workflow.answer"].filter((verb) => verb.startsWith("fnf:")), resources: ALL_FLOWS },
  {
    actions: RAM_ACTIONS["workflow.answer"].filter((verb) => verb.startsWith("ots:")),
    resources: [site.arn("ots", pulumi.interpolate`instance/${site.tables}/table/${table}`)],
  },
];

/** What ends runs that take too long. */
export const KEEPER_ACTIONS = ["fnf:ListExecutions", "fnf:StopExecution"] as const;

/** What does maps whose items have executions of their own. */
export const BATCH_ACTIONS = [
  "fnf:StartExecution",
  "fnf:DescribeExecution",
  "fnf:StopExecution",
  "fnf:ReportTaskSucceeded",
  "ots:GetRow",
  "ots:GetRange",
  "ots:PutRow",
] as const;

/** What goes on with such maps, and forgets those that are over. */
export const BATCH_KEEPER_ACTIONS = [...BATCH_ACTIONS, "ots:DeleteRow"] as const;

const batchGrants = (site: Site, table: pulumi.Input<string>, actions: readonly string[]): readonly Grant[] => [
  { actions: actions.filter((verb) => verb.startsWith("fnf:")), resources: ALL_FLOWS },
  {
    actions: actions.filter((verb) => verb.startsWith("ots:")),
    resources: [site.arn("ots", pulumi.interpolate`instance/${site.tables}/table/${table}`)],
  },
];

const tableOf = (site: Site, scope: Scope): alicloud.ots.Table =>
  site.make(
    alicloud.ots.Table,
    `${scope.name}-callbacks`,
    tableArgs(site.tables, scope.physicalName(TABLE_NAME, scope.name, "callbacks").replaceAll("-", "_")),
    scope.options,
  );

/** The longest that one of our functions takes; what it asks may take a while to answer. */
const HELPER_SECONDS = 60;

type HelperParts = Pick<FunctionParts, "links" | "grants">;

function helperFunction(
  site: Site,
  scope: Scope,
  workflow: WorkflowPlan,
  {
    id,
    handler,
    name: physical,
    links,
    grants,
  }: HelperParts & { readonly id: string; readonly handler: string; readonly name: string },
): Built {
  const schedule = scheduleBeside(workflow, id, KEEPER_SECONDS);
  const plan = functionBeside(workflow, id, {
    handler: { id: handler },
    sources: id === "keep" ? [{ type: "schedule.fired", schedule: schedule.name }] : [],
    timeout: HELPER_SECONDS,
  });
  const inside = scopeBeside(scope, workflow, id, schedule);
  return functionOf(site, inside, plan, { name: physical, links, grants, sources: plan.sources });
}

/** https://www.alibabacloud.com/help/en/serverless-workflow/latest/api-fnf-2019-03-15-createflow */
export const FLOW_NAME: NameRule = { max: 128, allowed: /[A-Za-z0-9_-]/ };
