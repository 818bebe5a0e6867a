import * as alicloud from "@pulumi/alicloud";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Built } from "../../../parts/part.ts";
import type { Action, LinkPlan, PartKind, SecretPlan, TaskPlan } from "../../../parts/plan.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/**
 * What each action needs in RAM, and nothing more. A missing action does not compile. A put with `ifMatch` looks at the
 * object first, and needs `bucket.read` beside `bucket.write`.
 */
export const RAM_ACTIONS = {
  "bucket.read": ["oss:GetObject", "oss:ListObjects"],
  "bucket.write": ["oss:PutObject", "oss:AbortMultipartUpload", "oss:ListParts"],
  "bucket.remove": ["oss:DeleteObject"],
  "queue.send": ["mns:SendMessage"],
  // A request for several messages is another operation. https://www.alibabacloud.com/help/en/mns/developer-reference/batchreceivemessage
  "queue.receive": ["mns:BatchReceiveMessage", "mns:DeleteMessage", "mns:ChangeMessageVisibility"],
  "table.read": ["ots:GetRow", "ots:GetRange"],
  // A put in place of a row that has expired looks at it first.
  "table.write": ["ots:PutRow", "ots:DeleteRow", "ots:GetRow"],
  // Where a key of the user's encrypts it, that key too: `keyGrant`.
  "secret.read": ["kms:GetSecretValue"],
  // A network's matter: the mount target decides.
  "volume.read": [],
  "volume.write": [],
  "function.invoke": ["fc:InvokeFunction"],
  // A submit may start the run; and who waits for a short delay to be over looks after all that is due by then.
  "task.submit": [
    "ots:GetRow",
    "ots:GetRange",
    "ots:PutRow",
    "ots:DeleteRow",
    "oss:GetObject",
    "oss:PutObject",
    "oss:DeleteObject",
    "mns:SendMessage",
    "fc:InvokeFunction",
    "fc:GetAsyncTask",
    "fc:StopAsyncTask",
  ],
  "task.read": ["ots:GetRow", "ots:GetRange", "oss:GetObject"],
  // It comes with `task.read`.
  "task.control": [
    "ots:PutRow",
    "ots:DeleteRow",
    "oss:PutObject",
    "oss:DeleteObject",
    "mns:SendMessage",
    "fc:InvokeFunction",
    "fc:GetAsyncTask",
    "fc:StopAsyncTask",
  ],
  // A run of a known id is looked at.
  "workflow.start": ["fnf:StartExecution", "fnf:DescribeExecution"],
  // Of items of wide maps the workflow's own table knows.
  "workflow.read": [
    "fnf:DescribeExecution",
    "fnf:ListExecutions",
    "fnf:GetExecutionHistory",
    "ots:GetRow",
    "ots:GetRange",
  ],
  // It comes with `workflow.read`. A run that is retried gets another execution.
  "workflow.control": ["fnf:StartExecution", "fnf:StopExecution"],
  "workflow.answer": ["ots:GetRow", "ots:PutRow", "fnf:ReportTaskSucceeded"],
  // A Kafka's own matter: it knows users of its own.
  "stream.read": [],
  "stream.produce": [],
  "stream.claim": [],
} as const satisfies Record<Action, readonly string[]>;

/** One permission: verbs on resources. */
export interface Grant {
  readonly actions: readonly string[];
  readonly resources: readonly pulumi.Input<string>[];
}

/** What links allow the function that has them; what is reached by keys is allowed by those. */
export const linkGrants = (site: Site, scope: Scope, links: readonly LinkPlan[]): readonly Grant[] =>
  links.flatMap(({ part, actions, keys }) => {
    if (keys !== undefined) return [];
    const plan = scope.plan(part);
    const granted = byService(actions.flatMap((action) => RAM_ACTIONS[action])).map(([service, verbs]) => ({
      actions: verbs,
      resources:
        plan.kind === "task"
          ? taskResources(site, scope, plan, service)
          : partResources(site, scope.part(part).built, plan.kind, verbs),
    }));
    return plan.kind === "secret" ? [...granted, ...keyGrant(site, plan)] : granted;
  });

/**
 * A secret that a user's own key encrypts is for those who may decrypt with it. Which key that is, is known of secrets
 * that are made here.
 *
 * @see https://www.alibabacloud.com/help/en/kms/key-management-service/developer-reference/api-kms-2016-01-20-getsecretvalue
 */
function keyGrant(site: Site, { config }: SecretPlan): readonly Grant[] {
  const { kmsInstance } = site.settings;
  if (config === undefined || !kmsInstance) return [];
  return [{ actions: ["kms:Decrypt"], resources: [site.arn("kms", `key/${kmsInstance.key}`)] }];
}

/** What a worker and a keeper may do for their task: find and change its rows, start, end and tell of runs. */
export const ownTaskGrants = (site: Site, scope: Scope, task: TaskPlan): readonly Grant[] =>
  byService([...RAM_ACTIONS["task.submit"], ...RAM_ACTIONS["task.control"]]).map(([service, actions]) => ({
    actions,
    resources: taskResources(site, scope, task, service),
  }));

/** Lets a function log. https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/configure-the-logging-feature-1 */
export function logGrant(site: Site): Grant {
  const { project, store } = site.logs;
  return {
    actions: ["log:PostLogStoreLogs"],
    resources: [site.arn("log", pulumi.interpolate`project/${project}/logstore/${store}`)],
  };
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/policies-and-sample-policies */
export const functionArn = (site: Site, name: pulumi.Input<string>): pulumi.Output<string> =>
  site.arn("fc", pulumi.interpolate`functions/${name}`);

/** Asynchronous calls of a function are below it; a permission on the function itself is none on them. */
const asyncTasksArn = (site: Site, name: string): pulumi.Output<string> => functionArn(site, `${name}/async-tasks/*`);

/** As a destination and a permission name it; triggers leave the end out. */
export const queueArn = (site: Site, name: pulumi.Input<string>): pulumi.Output<string> =>
  site.arn("mns", pulumi.interpolate`/queues/${name}/messages`);

/**
 * A role of one service with exactly these permissions. Its ARN is known once the permissions are attached: nobody
 * uses the role before.
 *
 * @param service who may take the role: `fc.aliyuncs.com`
 */
export function role(site: Site, scope: Scope, id: string, service: string, grants: readonly Grant[]) {
  const name = `${scope.name}-${id}`;
  const made = site.make(
    alicloud.ram.Role,
    name,
    {
      roleName: scope.physicalName(ROLE_NAME, scope.name, id),
      assumeRolePolicyDocument: JSON.stringify({
        Version: "1",
        Statement: [{ Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: [service] } }],
      }),
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  const policy = site.make(
    alicloud.ram.Policy,
    `${name}-policy`,
    {
      policyName: scope.physicalName(POLICY_NAME, scope.name, id),
      policyDocument: policyDocument(grants),
      force: true,
    },
    scope.options,
  );
  const attachment = site.make(
    alicloud.ram.RolePolicyAttachment,
    `${name}-policy-attachment`,
    { policyName: policy.policyName, policyType: policy.type, roleName: made.roleName },
    scope.options,
  );
  const arn = pulumi.all([made.arn, attachment.id]).apply(([arn]) => arn);
  return { arn, attachment, role: made, policy };
}

/** One statement for each set of resources, whatever granted it. */
export const policyDocument = (grants: readonly Grant[]): pulumi.Output<string> =>
  pulumi.output(grants.map(({ actions, resources }) => ({ actions, resources }))).apply((known) => {
    const actions = new Map<string, Set<string>>();
    for (const grant of known.filter(({ resources }) => resources.length > 0)) {
      const key = JSON.stringify(grant.resources);
      actions.set(key, new Set([...(actions.get(key) ?? []), ...grant.actions]));
    }
    const statements = [...actions].map(([resources, verbs]) => ({
      Effect: "Allow",
      Action: [...verbs],
      Resource: JSON.parse(resources) as string[],
    }));
    return JSON.stringify({ Version: "1", Statement: statements });
  });

/** https://www.alibabacloud.com/help/en/ram/developer-reference/api-ram-2015-05-01-createrole */
const ROLE_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9-]/ };
/** https://www.alibabacloud.com/help/en/ram/developer-reference/api-ram-2015-05-01-createpolicy */
const POLICY_NAME: NameRule = { max: 128, allowed: /[A-Za-z0-9-]/ };

type Service = "oss" | "mns" | "ots" | "kms" | "fc" | "fc tasks" | "fnf";

/** Calls go to several functions of a task, asynchronous tasks are the worker's alone. */
const serviceOf = (action: string): Service =>
  action.endsWith("AsyncTask") ? "fc tasks" : (action.split(":")[0] as Service);

function byService(actions: readonly string[]): readonly (readonly [Service, readonly string[]])[] {
  const services = [...new Set(actions.map(serviceOf))];
  return services.map((service) => [service, [...new Set(actions.filter((action) => serviceOf(action) === service))]]);
}

/** The service grants what is done with executions for all of them alone. https://api.aliyun.com/document/fnf/2019-03-15/StartExecution */
export const ALL_FLOWS: readonly string[] = ["*"];

function partResources(
  site: Site,
  { address }: Built,
  kind: PartKind,
  actions: readonly string[],
): readonly pulumi.Input<string>[] {
  const { bucket, queue, table, instance, secret, function: name } = address;
  switch (kind) {
    case "bucket":
      return [
        ...(actions.includes("oss:ListObjects") ? [pulumi.interpolate`acs:oss:*:*:${bucket}`] : []),
        pulumi.interpolate`acs:oss:*:*:${bucket}/*`,
      ];
    case "queue":
      return [queueArn(site, queue!)];
    case "table":
      return [site.arn("ots", pulumi.interpolate`instance/${instance}/table/${table}`)];
    case "secret":
      return [site.arn("kms", pulumi.interpolate`secret/${secret}`)];
    case "function":
      return [functionArn(site, name!)];
    case "workflow":
      if (actions.some((action) => action.startsWith("fnf:"))) return ALL_FLOWS;
      return table === undefined ? [] : [site.arn("ots", pulumi.interpolate`instance/${instance}/table/${table}`)];
    default:
      return [];
  }
}

/** The task's own functions by name, since they may not be built yet. */
function taskResources(site: Site, scope: Scope, task: TaskPlan, service: Service): readonly pulumi.Input<string>[] {
  const destinations = [...task.onSuccess, ...task.onFailure];
  const names = (kind: "queue" | "function") => [
    ...new Set(destinations.filter((one) => one.kind === kind).map(({ name }) => name)),
  ];
  switch (service) {
    case "ots":
      return [site.arn("ots", pulumi.interpolate`instance/${site.tables}/table/${site.taskTable}`)];
    case "oss":
      return [pulumi.interpolate`acs:oss:*:*:${site.artifacts}/tasks/${task.stem}/*`];
    case "mns":
      return names("queue").map((name) => queueArn(site, scope.part(name).id));
    case "fc tasks":
      return [asyncTasksArn(site, scope.physicalName(FUNCTION_NAME, task.worker))];
    default:
      return [
        scope.physicalName(FUNCTION_NAME, task.worker),
        keeperName(scope, task),
        ...names("function").map((name) => scope.physicalName(FUNCTION_NAME, name)),
      ].map((name) => functionArn(site, name));
  }
}

/** https://www.alibabacloud.com/help/en/functioncompute/developer-reference/api-fc-2023-03-30-createfunction */
export const FUNCTION_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_-]/ };

/** The function that looks after a task. */
export const keeperName = (scope: Scope, task: TaskPlan): string =>
  scope.physicalName(FUNCTION_NAME, task.name, "keep");
