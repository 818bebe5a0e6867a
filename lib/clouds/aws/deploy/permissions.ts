import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Scope } from "../../../parts/cloud.ts";
import type { Action, LinkPlan, PartKind, TaskPlan, WorkflowPlan } from "../../../parts/plan.ts";
import type { NameRule } from "../../../shared/name.ts";
import type { Site } from "./shared.ts";

/**
 * What each action needs in IAM, and nothing more. A missing action does not compile. A put with `ifMatch` needs
 * `bucket.read` beside `bucket.write`: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
 */
export const IAM_ACTIONS = {
  // Without the list, what is missing is forbidden instead of not found. https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
  "bucket.read": ["s3:GetObject", "s3:ListBucket"],
  "bucket.write": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
  "bucket.remove": ["s3:DeleteObject"],
  "queue.send": ["sqs:SendMessage"],
  "queue.receive": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
  "table.read": ["dynamodb:GetItem", "dynamodb:Query"],
  "table.write": ["dynamodb:PutItem", "dynamodb:DeleteItem"],
  "secret.read": ["secretsmanager:GetSecretValue"],
  "volume.read": ["elasticfilesystem:ClientMount"],
  "volume.write": ["elasticfilesystem:ClientWrite"],
  "function.invoke": ["lambda:InvokeFunction"],
  // A submit may start the run, or find that it started before; and who waits for a short delay to be over looks after
  // all that is due by then.
  "task.submit": [
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:PutItem",
    "dynamodb:DeleteItem",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutObject",
    "s3:DeleteObject",
    "sqs:SendMessage",
    "lambda:InvokeFunction",
    "states:StartExecution",
    "states:DescribeExecution",
    "states:StopExecution",
  ],
  "task.read": ["dynamodb:GetItem", "dynamodb:Query", "s3:GetObject", "s3:ListBucket"],
  // It comes with `task.read`.
  "task.control": [
    "dynamodb:PutItem",
    "dynamodb:DeleteItem",
    "s3:PutObject",
    "s3:DeleteObject",
    "sqs:SendMessage",
    "lambda:InvokeFunction",
    "states:StartExecution",
    "states:DescribeExecution",
    "states:StopExecution",
  ],
  // A start may find that the run is there already.
  "workflow.start": ["states:StartExecution", "states:DescribeExecution"],
  "workflow.read": [
    "states:DescribeExecution",
    "states:ListExecutions",
    "states:GetExecutionHistory",
    "states:DescribeStateMachineForExecution",
  ],
  // It comes with `workflow.read`.
  "workflow.control": ["states:StopExecution", "states:RedriveExecution"],
  "workflow.answer": [
    "states:DescribeExecution",
    "dynamodb:UpdateItem",
    "states:SendTaskSuccess",
    "states:SendTaskFailure",
  ],
  // A Kafka's own matter: it knows users of its own.
  "stream.read": [],
  "stream.produce": [],
  "stream.claim": [],
} as const satisfies Record<Action, readonly string[]>;

/** Calls that know nothing but all resources, each with the page that says so. */
export const UNSCOPED = {
  /** https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions */
  network: [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
  ],
  /** What reads a Kafka in a network. https://docs.aws.amazon.com/lambda/latest/dg/with-msk-permissions.html and https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-permissions.html */
  pollers: [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
  ],
  /** https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy */
  logDelivery: [
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
  ],
  /** https://docs.aws.amazon.com/AmazonECR/latest/userguide/security_iam_id-based-policy-examples.html */
  registry: ["ecr:GetAuthorizationToken"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** Resource-free calls, as a permission. */
export const unscoped = (what: keyof typeof UNSCOPED): Grant => ({ actions: UNSCOPED[what], resources: ["*"] });

/** One permission: verbs on resources. */
export interface Grant {
  readonly actions: readonly string[];
  readonly resources: readonly pulumi.Input<string>[];
  /** As IAM writes it. @default it holds always */
  readonly condition?: Readonly<Record<string, Readonly<Record<string, pulumi.Input<string>>>>>;
}

/** What links allow the function that has them; what is reached by keys is allowed by those. */
export const linkGrants = (site: Site, scope: Scope, links: readonly LinkPlan[]): readonly Grant[] =>
  links.flatMap(({ part, actions, keys }) => {
    if (keys !== undefined) return [];
    const plan = scope.plan(part);
    // What is beside its caller is reached without anybody's leave.
    if (plan.kind === "function" && plan.program && "image" in plan.program) return [];
    return verbsOf(actions).map((verb) => {
      if (plan.kind === "task") return { actions: [verb], resources: taskResources(site, scope, plan, verb) };
      return plan.kind === "workflow"
        ? workflowGrant(site, scope, plan, verb)
        : partGrant(site, scope, part, plan.kind, verb);
    });
  });

/** What a worker and a keeper may do for their task: find and change its rows, start, end and tell of runs. */
export const ownTaskGrants = (site: Site, scope: Scope, task: TaskPlan): readonly Grant[] =>
  verbsOf(["task.submit", "task.control"]).map((verb) => ({
    actions: [verb],
    resources: taskResources(site, scope, task, verb),
  }));

const verbsOf = (actions: readonly Action[]): readonly string[] => [
  ...new Set(actions.flatMap((action) => IAM_ACTIONS[action])),
];

/** Lets a function, container or state machine log to its own group. */
export const logGrant = (group: aws.cloudwatch.LogGroup): Grant => ({
  actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
  resources: [pulumi.interpolate`${group.arn}:*`],
});

/** https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html */
export const functionArn = (site: Site, name: pulumi.Input<string>): pulumi.Output<string> =>
  site.arn("lambda", pulumi.interpolate`function:${name}`);

/** Of the state machine of a task or a workflow, built or not. */
export const machineArn = (site: Site, scope: Scope, plan: TaskPlan | WorkflowPlan): pulumi.Output<string> =>
  site.arn("states", `stateMachine:${machineName(scope, plan)}`);

/**
 * A role of one service with exactly these permissions. Its ARN is known once they are attached: nobody uses the role
 * before.
 *
 * @param service who may take the role: `lambda.amazonaws.com`
 */
export function role(site: Site, scope: Scope, id: string, service: string, grants: readonly Grant[]) {
  const name = `${scope.name}-${id}`;
  const made = site.make(
    aws.iam.Role,
    name,
    {
      name: scope.physicalName(ROLE_NAME, scope.name, id),
      assumeRolePolicy: trustPolicy(site, service),
      tags: site.tags(scope.name),
    },
    scope.options,
  );
  const policy = site.make(
    aws.iam.RolePolicy,
    `${name}-policy`,
    { name: "millrace", role: made.name, policy: policyDocument(scope.name, grants) },
    scope.options,
  );
  const arn = pulumi.all([made.arn, policy.id]).apply(([arn]) => arn);
  return { arn, role: made, policy };
}

/**
 * Who takes the role: the service, for what is in this account. Lambda is not said to tell for whom it asks.
 *
 * @see https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
 * @see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
 */
const trustPolicy = (site: Site, service: string): pulumi.Output<string> =>
  site.account.apply((account) => {
    const isTold = service !== "lambda.amazonaws.com";
    const condition = isTold && { Condition: { StringEquals: { "aws:SourceAccount": account } } };
    const statement = { Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: service }, ...condition };
    return JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
  });

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html */
const POLICY_CHARACTERS = 10_240;

/**
 * One statement for each set of resources, whatever granted it.
 *
 * @throws if it is longer than a role's policies may be
 */
export const policyDocument = (name: string, grants: readonly Grant[]): pulumi.Output<string> =>
  pulumi.output(grants.map((grant) => ({ condition: {}, ...grant }))).apply((known) => {
    const statements = new Map<string, Set<string>>();
    for (const { actions, resources, condition } of known.filter(({ resources }) => resources.length > 0)) {
      const key = JSON.stringify([resources, condition]);
      statements.set(key, new Set([...(statements.get(key) ?? []), ...actions]));
    }
    const document = JSON.stringify({
      Version: "2012-10-17",
      Statement: [...statements].map(([key, verbs]) => {
        const [Resource, Condition] = JSON.parse(key) as [readonly string[], object];
        const isConditional = Object.keys(Condition).length > 0;
        return { Effect: "Allow", Action: [...verbs], Resource, ...(isConditional && { Condition }) };
      }),
    });
    if (document.length <= POLICY_CHARACTERS) return document;
    throw new Error(
      `${name}: its links need a policy of ${document.length} characters, and IAM allows ${POLICY_CHARACTERS}: link fewer parts`,
    );
  });

/** A verb on a part, where it applies: to a bucket or to its objects. */
function partGrant(site: Site, scope: Scope, part: string, kind: PartKind, verb: string): Grant {
  const { id } = scope.part(part);
  if (kind === "bucket") {
    return { actions: [verb], resources: [verb === "s3:ListBucket" ? id : pulumi.interpolate`${id}/*`] };
  }
  if (kind !== "volume") return { actions: [verb], resources: [id] };
  const { fileSystem, accessPoint } = site.volumeArns(site.volumes.get(part)!);
  return {
    actions: [verb],
    resources: [fileSystem],
    condition: { StringEquals: { "elasticfilesystem:AccessPointArn": accessPoint } },
  };
}

/** The task's own functions and its state machine by name, since they may not be built yet. */
function taskResources(site: Site, scope: Scope, task: TaskPlan, verb: string): readonly pulumi.Input<string>[] {
  const destinations = [...task.onSuccess, ...task.onFailure];
  const names = (kind: "queue" | "function") => [
    ...new Set(destinations.filter((one) => one.kind === kind).map(({ name }) => name)),
  ];
  switch (verb.split(":")[0]) {
    case "dynamodb":
      return [site.arn("dynamodb", pulumi.interpolate`table/${site.taskTable}`)];
    case "s3": {
      // A condition on the prefix would not hold for a get, which names none.
      const bucket = pulumi.interpolate`arn:${site.partition}:s3:::${site.artifacts}`;
      return [verb === "s3:ListBucket" ? bucket : pulumi.interpolate`${bucket}/tasks/${task.stem}/*`];
    }
    case "sqs":
      return names("queue").map((name) => scope.part(name).id);
    case "states":
      return verb === "states:StartExecution"
        ? [machineArn(site, scope, task)]
        : [site.arn("states", `execution:${machineName(scope, task)}:*`)];
    default:
      return names("function").map((name) => functionArn(site, scope.physicalName(FUNCTION_NAME, name)));
  }
}

/** A workflow's state machine and its executions, by name as the machine calls functions that may be linked to it. */
function workflowGrant(site: Site, scope: Scope, workflow: WorkflowPlan, verb: string): Grant {
  if (verb.startsWith("dynamodb:")) return callbackGrant(site, workflow, [verb]);
  return {
    actions: [verb],
    resources: [OF_MACHINE.has(verb) ? machineArn(site, scope, workflow) : executionsArn(site, scope, workflow)],
  };
}

/** https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html */
const OF_MACHINE: ReadonlySet<string> = new Set([
  "states:StartExecution",
  "states:ListExecutions",
  "states:SendTaskSuccess",
  "states:SendTaskFailure",
]);

/** Of a state machine. */
export const executionsArn = (site: Site, scope: Scope, plan: TaskPlan | WorkflowPlan): pulumi.Output<string> =>
  site.arn("states", `execution:${machineName(scope, plan)}:*`);

/** The rows of the task table with what a workflow's callbacks wait for. */
export const callbackPartition = ({ stem }: WorkflowPlan): string => `workflow/${stem}`;

/** Of these rows alone. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html */
export const callbackGrant = (site: Site, workflow: WorkflowPlan, actions: readonly string[]): Grant => ({
  actions,
  resources: [site.arn("dynamodb", pulumi.interpolate`table/${site.taskTable}`)],
  condition: { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": callbackPartition(workflow) } },
});

/** https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html */
export const FUNCTION_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_-]/ };
/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html */
const ROLE_NAME: NameRule = { max: 64, allowed: /[A-Za-z0-9_-]/ };
/** https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html */
const MACHINE_NAME: NameRule = { max: 80, allowed: /[A-Za-z0-9_-]/ };

/** The function that looks after a task. */
export const keeperName = (scope: Scope, task: TaskPlan): string =>
  scope.physicalName(FUNCTION_NAME, task.name, "keep");

/** The state machine of a task or a workflow. */
export const machineName = (scope: Scope, { name }: TaskPlan | WorkflowPlan): string =>
  scope.physicalName(MACHINE_NAME, name);
