import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fargateSize } from "../../../lib/clouds/aws/deploy/container.ts";
import { memoryOf } from "../../../lib/clouds/aws/deploy/function.ts";
import { UNSCOPED } from "../../../lib/clouds/aws/deploy/permissions.ts";
import { scheduleExpressions } from "../../../lib/clouds/aws/deploy/schedule.ts";
import { partitionOf } from "../../../lib/clouds/aws/deploy/shared.ts";
import { checkSize } from "../../../lib/clouds/aws/deploy/tools.ts";
import { createdPattern } from "../../../lib/clouds/aws/deploy/trigger.ts";
import { type AwsSettings, aws } from "../../../lib/clouds/aws/index.ts";
import { AsyncTask, VideoTranscodePipeline } from "../../../lib/index.ts";
import { code } from "../../../lib/parts/code.ts";
import {
  all,
  type Cloud,
  Construct,
  control,
  created,
  cron,
  every,
  invoke,
  mount,
  read,
  received,
  remove,
  send,
  write,
} from "../../../lib/parts/index.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import { synthesize } from "../../../lib/testing/synthesize.ts";
import { ACCOUNT, arn, deploy, inputsOf, listOf, ofType, REGION } from "./stack.ts";

let home: string;
let server: Server;
/** A tool of no use, from a server of the test's own. */
const TOOL = Buffer.from("#!/bin/sh\necho a tool\n");
let tool: { readonly url: string; readonly sha256: string };
const before = process.cwd();
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-deploy-"));
  process.chdir(home);
  server = createServer((_, answer) => answer.end(TOOL)).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  tool = { url: `http://127.0.0.1:${port}/`, sha256: createHash("sha256").update(TOOL).digest("hex") };
});
afterAll(async () => {
  server.close();
  process.chdir(before);
  await rm(home, { recursive: true, force: true });
});

const report = code<typeof import("../../../examples/async-task/report.ts")>(
  new URL("../../../examples/async-task/report.ts", import.meta.url),
);
const echo = code<{ handler: (event: unknown, context: unknown) => Promise<unknown> }>(
  new URL("../alicloud/functions/echo.ts", import.meta.url),
);

const parsed = (text: unknown): unknown => JSON.parse(text as string);

interface Statement {
  readonly Effect: string;
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
  readonly Condition?: object;
}
const statementsOf = (resources: readonly RegisteredResource[], role: string): readonly Statement[] =>
  (parsed(inputsOf(resources, "RolePolicy", `${role}-policy`).policy) as { Statement: Statement[] }).Statement;
const allow = (Action: readonly string[], ...Resource: readonly string[]) => ({ Effect: "Allow", Action, Resource });
const physical = (resources: readonly RegisteredResource[], type: string, name: string): string =>
  inputsOf(resources, type, name).name as string;

/** What holds for every stack. */
function everywhere(resources: () => readonly RegisteredResource[]): void {
  it("uses a role after its policy is attached, logs to a group that is there, and runs code by what is in it", () => {
    const order = listed(resources());
    const users = [...ofType(resources(), "Function"), ...ofType(resources(), "TaskDefinition")];
    for (const { type, name } of users) {
      const used = order.indexOf(`${type.split(":").at(-1)} ${name}`);
      for (const needed of [`RolePolicy ${name}-role-policy`, `LogGroup ${name}-logs`]) {
        expect(order.indexOf(needed), needed).toBeGreaterThanOrEqual(0);
        expect(order.indexOf(needed), needed).toBeLessThan(used);
      }
      expect(inputsOf(resources(), "LogGroup", `${name}-logs`).retentionInDays).toBe(30);
      expect(inputsOf(resources(), "BucketObjectv2", `${name}-code`).key).toMatch(/^code\/[\w-]+\/[0-9a-f]{20}\.zip$/);
    }
    for (const { name, inputs } of ofType(resources(), "Function")) {
      const { key, bucket } = inputsOf(resources(), "BucketObjectv2", `${name}-code`);
      expect(inputs).toMatchObject({ s3Key: key, s3Bucket: bucket, runtime: "nodejs24.x", handler: "index.handler" });
      expect(inputs.loggingConfig).toMatchObject({
        logFormat: "JSON",
        logGroup: physical(resources(), "LogGroup", `${name}-logs`),
      });
    }
  });

  it("keeps to the services' sizes and names", () => {
    for (const { inputs } of ofType(resources(), "Function")) {
      expect(inputs.name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
      const { variables } = inputs.environment as { variables: Record<string, string> };
      const bytes = Object.entries(variables).reduce((sum, [name, value]) => sum + name.length + value.length + 2, 0);
      expect(bytes).toBeLessThan(4096);
      for (const name of Object.keys(variables)) expect(name).toMatch(/^[A-Za-z][A-Za-z0-9_]+$/);
    }
    for (const type of ["Role", "EventRule", "Schedule"]) {
      for (const { inputs } of ofType(resources(), type)) expect(inputs.name).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    }
    for (const { inputs } of ofType(resources(), "Queue")) expect(inputs.name).toMatch(/^[A-Za-z0-9_-]{1,80}$/);
    for (const { inputs } of ofType(resources(), "StateMachine")) expect(inputs.name).toMatch(/^[A-Za-z0-9_-]{1,80}$/);
    for (const { inputs } of ofType(resources(), "MetricAlarm")) expect(String(inputs.name).length).toBeLessThan(256);
    for (const { inputs } of ofType(resources(), "Bucket"))
      expect(inputs.bucket).toMatch(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/);
  });

  it("allows no action by a star, and all resources only to calls that know no others", () => {
    const unscoped: readonly string[] = Object.values(UNSCOPED).flat();
    for (const { name, inputs } of ofType(resources(), "RolePolicy")) {
      expect(String(inputs.policy).length).toBeLessThan(10_240);
      const { Statement } = parsed(inputs.policy) as { Statement: Statement[] };
      for (const { Action, Resource } of Statement) {
        expect(Action.join(), name).not.toContain("*");
        if (Resource.includes("*")) expect(unscoped, name).toEqual(expect.arrayContaining([...Action]));
        for (const one of Resource) expect(one, name).toMatch(/^(\*$|arn:aws:)/);
      }
    }
  });

  it("lends a role to its service for this account alone, where the service tells for whom it asks", () => {
    for (const { name, inputs } of ofType(resources(), "Role")) {
      const [statement] = (parsed(inputs.assumeRolePolicy) as { Statement: object[] }).Statement;
      const { Principal, Condition } = statement as { Principal: { Service: string }; Condition?: object };
      const isLambda = Principal.Service === "lambda.amazonaws.com";
      expect(Condition, name).toEqual(isLambda ? undefined : { StringEquals: { "aws:SourceAccount": ACCOUNT } });
    }
  });

  it("says of everything that can say so whose it is", () => {
    const mute =
      /:(\w+(Policy|Configuration|Block|Notification|Config|Association|Subscription|Version|Target)|BucketVersioning|BucketObjectv2|Permission|Schedule)$/;
    for (const { type, name, inputs } of resources()) {
      if (mute.test(type) || type.startsWith("pulumi:")) continue;
      expect(inputs.tags, name).toMatchObject({ "millrace:project": "shop", "millrace:stack": "prod" });
    }
  });
}

/** In the order they were registered. */
const listed = (resources: readonly RegisteredResource[]): readonly string[] =>
  resources.map(({ type, name }) => `${type.split(":").at(-1)} ${name}`);

/** But for what the constructs share. */
const own = (resources: readonly RegisteredResource[]): readonly string[] =>
  listOf(resources)
    .filter((line) => !line.includes(`aws-${REGION}`))
    .map((line) => line.replace(/(-on-[a-z-]+)-[a-z0-9]{6}(?=-|$)/, "$1"));

describe("AsyncTask of up to 15 minutes", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy(
      (cloud) => new AsyncTask("reports", { cloud, handler: report, timeout: "10 minutes", concurrency: 4 }),
    );
  });
  everywhere(() => resources);

  it("is these resources", () => {
    expect(own(resources)).toEqual([
      "BucketObjectv2 reports-task-dispatch-code",
      "BucketObjectv2 reports-task-keep-code",
      "BucketObjectv2 reports-task-work-code",
      "Function reports-task-dispatch",
      "Function reports-task-keep",
      "Function reports-task-work",
      "FunctionEventInvokeConfig reports-task-dispatch-async",
      "FunctionEventInvokeConfig reports-task-keep-async",
      "LogGroup reports-task-dispatch-logs",
      "LogGroup reports-task-keep-logs",
      "LogGroup reports-task-logs",
      "LogGroup reports-task-work-logs",
      "MetricAlarm reports-alarms-reports-task-failures",
      "Queue reports-failures",
      "Role reports-task-dispatch-role",
      "Role reports-task-keep-role",
      "Role reports-task-keep-scheduler",
      "Role reports-task-machine",
      "Role reports-task-work-role",
      "RolePolicy reports-task-dispatch-role-policy",
      "RolePolicy reports-task-keep-role-policy",
      "RolePolicy reports-task-keep-scheduler-policy",
      "RolePolicy reports-task-machine-policy",
      "RolePolicy reports-task-work-role-policy",
      "Schedule reports-task-keep-on-reports-task-keep",
      "StateMachine reports-task",
    ]);
    expect(listOf(resources).filter((line) => line.includes(`aws-${REGION}`))).toEqual([
      "Bucket aws-eu-central-1-artifacts",
      "BucketLifecycleConfiguration aws-eu-central-1-artifacts-lifecycle",
      "BucketPublicAccessBlock aws-eu-central-1-artifacts-access",
      "BucketServerSideEncryptionConfiguration aws-eu-central-1-artifacts-encryption",
      "Table aws-eu-central-1-tasks",
      "Topic aws-eu-central-1-alarms",
      "TopicSubscription aws-eu-central-1-alarms-operators@example.com",
      "aws aws-eu-central-1",
    ]);
  });

  it("runs its attempts on Lambda, by a state machine that may call worker and keeper", () => {
    const name = (part: string) => physical(resources, "Function", part);
    const { definition, type, loggingConfiguration } = inputsOf(resources, "StateMachine", "reports-task");
    const { States } = parsed(definition) as { States: Record<string, { Parameters: { FunctionName: string } }> };
    expect(type).toBe("STANDARD");
    expect(States.Work!.Parameters.FunctionName).toBe(arn("lambda", `function:${name("reports-task-work")}`));
    expect(States.Tell!.Parameters.FunctionName).toBe(arn("lambda", `function:${name("reports-task-keep")}`));
    expect(loggingConfiguration).toMatchObject({ includeExecutionData: false, logDestination: /:\*$/ });
    expect(statementsOf(resources, "reports-task-machine")).toEqual([
      allow(
        ["lambda:InvokeFunction"],
        arn("lambda", `function:${name("reports-task-work")}`),
        arn("lambda", `function:${name("reports-task-keep")}`),
      ),
      allow(UNSCOPED.logDelivery, "*"),
    ]);
    // Its time, its grace beside it, and the CPU that was asked for.
    expect(inputsOf(resources, "Function", "reports-task-work")).toMatchObject({
      timeout: 630,
      memorySize: 885,
      ephemeralStorage: { size: 512 },
      architectures: ["x86_64"],
    });
  });

  it("each role has the verbs of its links, on what is linked", () => {
    const bucket = inputsOf(resources, "Bucket", `aws-${REGION}-artifacts`).bucket;
    const table = physical(resources, "Table", `aws-${REGION}-tasks`);
    const machine = physical(resources, "StateMachine", "reports-task");
    const logs = (part: string) =>
      allow(
        ["logs:CreateLogStream", "logs:PutLogEvents"],
        `${arn("logs", `log-group:${physical(resources, "LogGroup", `${part}-logs`)}`)}:*`,
      );
    const rows = ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem"];
    const submits = [
      allow(rows, arn("dynamodb", `table/${table}`)),
      allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], `arn:aws:s3:::${bucket}/tasks/reports-task/*`),
      allow(["s3:ListBucket"], `arn:aws:s3:::${bucket}`),
      allow(["sqs:SendMessage"], arn("sqs", physical(resources, "Queue", "reports-failures"))),
      allow(["states:StartExecution"], arn("states", `stateMachine:${machine}`)),
      allow(["states:DescribeExecution", "states:StopExecution"], arn("states", `execution:${machine}:*`)),
    ];
    for (const part of ["reports-task-dispatch", "reports-task-work", "reports-task-keep"]) {
      expect(statementsOf(resources, `${part}-role`)).toEqual([...submits, logs(part)]);
    }
  });

  it("the keeper comes round every minute, by a role that calls it alone", () => {
    const [schedule] = ofType(resources, "Schedule");
    const keeper = arn("lambda", `function:${physical(resources, "Function", "reports-task-keep")}`);
    expect(schedule!.inputs).toMatchObject({
      scheduleExpression: "rate(1 minute)",
      flexibleTimeWindow: { mode: "OFF" },
      state: "ENABLED",
      target: {
        arn: keeper,
        roleArn: `arn:aws:iam::${ACCOUNT}:role/${physical(resources, "Role", "reports-task-keep-scheduler")}`,
      },
    });
    expect(parsed((schedule!.inputs.target as { input: string }).input)).toEqual({
      millrace: "schedule",
      schedule: "reports-task-keep",
      time: "<aws.scheduler.scheduled-time>",
    });
    expect(statementsOf(resources, "reports-task-keep-scheduler")).toEqual([allow(["lambda:InvokeFunction"], keeper)]);
    const { assumeRolePolicy } = inputsOf(resources, "Role", "reports-task-keep-scheduler");
    expect(parsed(assumeRolePolicy)).toMatchObject({
      Statement: [{ Principal: { Service: "scheduler.amazonaws.com" }, Action: "sts:AssumeRole" }],
    });
  });

  it("whoever works for the task finds it by its address", () => {
    const { variables } = inputsOf(resources, "Function", "reports-task-keep").environment;
    const address = parsed(variables.MILLRACE_LINK_tasks) as Record<string, string>;
    expect(address).toMatchObject({
      kind: "task",
      part: "reports-task",
      platform: "lambda",
      region: REGION,
      account: ACCOUNT,
      machine: arn("states", `stateMachine:${physical(resources, "StateMachine", "reports-task")}`),
      keeper: physical(resources, "Function", "reports-task-keep"),
      dispatcher: physical(resources, "Function", "reports-task-dispatch"),
      table: physical(resources, "Table", `aws-${REGION}-tasks`),
      claims: inputsOf(resources, "Bucket", `aws-${REGION}-artifacts`).bucket,
      logs: physical(resources, "LogGroup", "reports-task-work-logs"),
    });
    const queue = physical(resources, "Queue", "reports-failures");
    expect(parsed(address.queues)).toEqual({
      "reports-failures": `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${queue}`,
    });
    expect(parsed(address.definition)).toMatchObject({ timeout: 600, concurrency: 4 });
  });

  it("its failed attempts are told by e-mail, its table outlives the stack", () => {
    const topic = physical(resources, "Topic", `aws-${REGION}-alarms`);
    expect(inputsOf(resources, "MetricAlarm", "reports-alarms-reports-task-failures")).toMatchObject({
      namespace: "AWS/States",
      metricName: "ExecutionsFailed",
      statistic: "Sum",
      dimensions: {
        StateMachineArn: arn("states", `stateMachine:${physical(resources, "StateMachine", "reports-task")}`),
      },
      treatMissingData: "notBreaching",
      alarmActions: [arn("sns", topic)],
    });
    expect(inputsOf(resources, "Table", `aws-${REGION}-tasks`)).toMatchObject({
      billingMode: "PAY_PER_REQUEST",
      hashKey: "pk",
      rangeKey: "sk",
      ttl: { attributeName: "ttl", enabled: true },
      pointInTimeRecovery: { enabled: true },
    });
  });
});

describe("AsyncTask of more than 15 minutes", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy(
      (cloud) =>
        new AsyncTask("reports", {
          cloud,
          handler: report,
          timeout: "2 hours",
          memory: "3 GB",
          cpu: 1,
          disk: "50 GB",
          tools: ["pandoc"],
        }),
      { tools: { pandoc: tool } },
    );
  });
  everywhere(() => resources);

  it("runs in containers of its own network, which has a way out and lets nobody in", () => {
    expect(own(resources)).toContain("TaskDefinition reports-task-work");
    expect(own(resources)).not.toContain("Function reports-task-work");
    const network = listOf(resources).filter((line) => line.includes("-network") || line.startsWith("Cluster"));
    expect(network).toEqual([
      "Cluster aws-eu-central-1-cluster",
      "InternetGateway aws-eu-central-1-network-gateway",
      "RouteTable aws-eu-central-1-network-public",
      "RouteTableAssociation aws-eu-central-1-network-public-1-route",
      "RouteTableAssociation aws-eu-central-1-network-public-2-route",
      "SecurityGroup aws-eu-central-1-network-group",
      "Subnet aws-eu-central-1-network-public-1",
      "Subnet aws-eu-central-1-network-public-2",
      "Vpc aws-eu-central-1-network",
    ]);
    const zones = ofType(resources, "Subnet").map(({ inputs }) => inputs.availabilityZone);
    expect(zones).toEqual([`${REGION}a`, `${REGION}b`]);
    const { ingress } = inputsOf(resources, "SecurityGroup", `aws-${REGION}-network-group`);
    expect((ingress as { self?: boolean; cidrBlocks?: unknown }[]).every((one) => one.self && !one.cidrBlocks)).toBe(
      true,
    );
    const { definition } = inputsOf(resources, "StateMachine", "reports-task");
    const { States } = parsed(definition) as { States: { Work: { Resource: string; Parameters: object } } };
    expect(States.Work).toMatchObject({
      Resource: "arn:aws:states:::ecs:runTask.waitForTaskToken",
      Parameters: {
        LaunchType: "FARGATE",
        Cluster: arn("ecs", `cluster/${physical(resources, "Cluster", `aws-${REGION}-cluster`)}`),
        TaskDefinition: inputsOf(resources, "TaskDefinition", "reports-task-work").family,
        NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: "ENABLED" } },
        Overrides: { ContainerOverrides: [{ Name: "worker" }] },
      },
    });
  });

  it("takes no code away that a container may be fetching", async () => {
    const kept: string[] = [];
    const transform: AwsSettings["transform"] = (type, name, _, { retainOnDelete }) => {
      if (type === "aws:s3/bucketObjectv2:BucketObjectv2" && retainOnDelete) kept.push(name);
      return undefined;
    };
    const declare = (cloud: Cloud) => new AsyncTask("reports", { cloud, handler: report, timeout: "1 hour" });
    await deploy(declare, { transform });
    expect(kept).toEqual(["reports-task-work-code"]);
  });

  it("has the next size that Fargate knows, and fetches code and tools that are what they were", () => {
    const made = inputsOf(resources, "TaskDefinition", "reports-task-work");
    expect(made).toMatchObject({
      cpu: "1024",
      memory: "3072",
      ephemeralStorage: { sizeInGib: 51 },
      networkMode: "awsvpc",
      requiresCompatibilities: ["FARGATE"],
    });
    const [container, ...others] = parsed(made.containerDefinitions) as {
      name: string;
      image: string;
      user: string;
      command: string[];
      stopTimeout: number;
      environment: { name: string; value: string }[];
      logConfiguration: { options: Record<string, string> };
    }[];
    expect(others).toEqual([]);
    expect(container).toMatchObject({
      name: "worker",
      image: "public.ecr.aws/docker/library/node:24-slim",
      user: "1000:1000",
      stopTimeout: 30,
    });
    expect(container!.command.slice(0, 3)).toEqual(["node", "--input-type=module", "-e"]);
    expect(container!.command.slice(4)).toEqual(["--", "--then", "/tmp/millrace/worker/index.mjs"]);
    const value = (name: string) => parsed(container!.environment.find((one) => one.name === name)?.value);
    const objects = ["reports-task-work-code", `aws-${REGION}-layer-pandoc-code`].map((name) =>
      inputsOf(resources, "BucketObjectv2", name),
    );
    const sha256 = (key: string) =>
      createHash("sha256")
        .update(readFileSync(join(home, ".millrace/deploy/zip", key.split("/").at(-1)!)))
        .digest("hex");
    const [codeKey, toolKey] = objects.map(({ key }) => key as string);
    expect(value("MILLRACE_FETCH")).toEqual({
      region: REGION,
      bucket: inputsOf(resources, "Bucket", `aws-${REGION}-artifacts`).bucket,
      into: "/tmp/millrace",
      files: [
        { key: codeKey, sha256: sha256(codeKey!), as: "code", name: "worker" },
        { key: toolKey, sha256: sha256(toolKey!), as: "tool", name: "pandoc", member: "bin/pandoc" },
      ],
    });
    expect(value("MILLRACE_TOOLS")).toEqual({ pandoc: "/tmp/millrace/bin/pandoc" });
    expect(value("MILLRACE_LINK__24_task")).toMatchObject({
      platform: "fargate",
      logs: physical(resources, "LogGroup", "reports-task-work-logs"),
    });
    expect(container!.logConfiguration.options["awslogs-group"]).toBe(
      physical(resources, "LogGroup", "reports-task-work-logs"),
    );
  });

  it("the state machine starts this one family in this one cluster, and passes on its two roles", () => {
    const { family } = inputsOf(resources, "TaskDefinition", "reports-task-work");
    const cluster = physical(resources, "Cluster", `aws-${REGION}-cluster`);
    const roles = ["reports-task-work-role", "reports-task-work-execution"].map(
      (name) => `arn:aws:iam::${ACCOUNT}:role/${physical(resources, "Role", name)}`,
    );
    expect(statementsOf(resources, "reports-task-machine")).toEqual([
      allow(
        ["lambda:InvokeFunction"],
        arn("lambda", `function:${physical(resources, "Function", "reports-task-keep")}`),
      ),
      {
        ...allow(["ecs:RunTask"], arn("ecs", `task-definition/${family}:*`)),
        Condition: { ArnEquals: { "ecs:cluster": arn("ecs", `cluster/${cluster}`) } },
      },
      {
        ...allow(["ecs:TagResource"], arn("ecs", `task/${cluster}/*`)),
        Condition: { StringEquals: { "ecs:CreateAction": "RunTask" } },
      },
      {
        ...allow(["iam:PassRole"], ...roles),
        Condition: { StringEquals: { "iam:PassedToService": "ecs-tasks.amazonaws.com" } },
      },
      allow(UNSCOPED.logDelivery, "*"),
    ]);
    const machine = arn("states", `stateMachine:${physical(resources, "StateMachine", "reports-task")}`);
    expect(statementsOf(resources, "reports-task-work-role")).toContainEqual(
      allow(
        ["states:StartExecution", "states:SendTaskHeartbeat", "states:SendTaskSuccess", "states:SendTaskFailure"],
        machine,
      ),
    );
    const execution = statementsOf(resources, "reports-task-work-execution").flatMap(({ Action }) => Action);
    expect(execution).toEqual(["logs:CreateLogStream", "logs:PutLogEvents"]);
  });

  it("an image of a private registry may be pulled, that one alone", async () => {
    const image = `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/tools/node@sha256:abc`;
    const others = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), { image });
    const { containerDefinitions } = inputsOf(others, "TaskDefinition", "reports-task-work");
    expect(parsed(containerDefinitions)).toMatchObject([{ image }]);
    expect(statementsOf(others, "reports-task-work-execution").slice(1)).toEqual([
      allow(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], arn("ecr", "repository/tools/node")),
      allow(["ecr:GetAuthorizationToken"], "*"),
    ]);
  });

  it("a network of the user's is used, and none is made", async () => {
    const network = { subnets: ["subnet-1", "subnet-2"], securityGroups: ["sg-1"] };
    const others = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), {
      existing: { network },
    });
    expect(ofType(others, "Vpc")).toEqual([]);
    const { definition } = inputsOf(others, "StateMachine", "reports-task");
    expect(parsed(definition)).toMatchObject({
      States: {
        Work: {
          Parameters: {
            NetworkConfiguration: {
              AwsvpcConfiguration: { Subnets: network.subnets, SecurityGroups: ["sg-1"], AssignPublicIp: "DISABLED" },
            },
          },
        },
      },
    });
  });
});

describe("VideoTranscodePipeline", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy(
      (cloud) =>
        new VideoTranscodePipeline("videos", {
          cloud,
          formats: ["mp4"],
          prefix: "in/",
          suffixes: [".mp4", ".mov"],
          timeout: "15 minutes",
        }),
    );
  });
  everywhere(() => resources);

  it("is called the same when it is renamed and keeps its id, but for its own name", async () => {
    const renamed = await deploy(
      (cloud) =>
        new VideoTranscodePipeline("films", {
          id: "videos",
          cloud,
          formats: ["mp4"],
          prefix: "in/",
          suffixes: [".mp4", ".mov"],
          timeout: "15 minutes",
        }),
    );
    // An alias of the construct covers names that begin with its own.
    const aliased = listOf(renamed).map((line) => line.replace(/ films-/, " videos-"));
    expect(aliased.sort()).toEqual(listOf(resources));
    const names = (list: readonly RegisteredResource[]) =>
      list.map(({ inputs }) => inputs.bucket ?? inputs.name ?? inputs.family ?? inputs.functionName).sort();
    expect(names(renamed)).toEqual(names(resources));
  });

  it("has a rule for each ending, and each rule the permission to call the dispatcher", () => {
    const { bucket } = inputsOf(resources, "Bucket", "videos-uploads");
    const name = physical(resources, "Function", "videos-transcode-dispatch");
    const rules = ofType(resources, "EventRule");
    expect(rules.map(({ inputs }) => parsed(inputs.eventPattern))).toEqual(
      [".mp4", ".mov"].map((suffix) => ({
        source: ["aws.s3"],
        "detail-type": ["Object Created"],
        detail: { bucket: { name: [bucket] }, object: { key: [{ wildcard: `in/*${suffix}` }] } },
      })),
    );
    for (const rule of rules) {
      expect(inputsOf(resources, "Permission", `${rule.name}-permission`)).toMatchObject({
        action: "lambda:InvokeFunction",
        principal: "events.amazonaws.com",
        function: name,
        sourceArn: arn("events", `rule/${rule.inputs.name}`),
      });
      expect(inputsOf(resources, "EventTarget", `${rule.name}-target`)).toMatchObject({
        rule: rule.inputs.name,
        arn: arn("lambda", `function:${name}`),
      });
    }
    expect(inputsOf(resources, "BucketNotification", "videos-uploads-notification")).toEqual({
      bucket,
      eventbridge: true,
    });
    expect(ofType(resources, "BucketNotification")).toHaveLength(1);
    const { variables } = inputsOf(resources, "Function", "videos-transcode-dispatch").environment;
    expect(parsed(variables.MILLRACE_SOURCES)).toEqual({
      [bucket]: "videos-uploads",
      [physical(resources, "Queue", "videos-requests")]: "videos-requests",
    });
  });

  it("buckets are private, encrypted, and abort what is left of uploads; queues know their dead letters", () => {
    const { bucket } = inputsOf(resources, "Bucket", "videos-uploads");
    expect(bucket).toMatch(/^videos-uploads-[a-z0-9]{8}$/);
    expect(inputsOf(resources, "BucketPublicAccessBlock", "videos-uploads-access")).toEqual({
      bucket,
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    });
    expect(inputsOf(resources, "BucketServerSideEncryptionConfiguration", "videos-uploads-encryption")).toMatchObject({
      rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }],
    });
    expect(inputsOf(resources, "BucketLifecycleConfiguration", "videos-uploads-lifecycle").rules).toEqual([
      {
        id: "abort-incomplete-uploads",
        status: "Enabled",
        filter: { prefix: "" },
        abortIncompleteMultipartUpload: { daysAfterInitiation: 1 },
      },
    ]);
    const queue = inputsOf(resources, "Queue", "videos-requests");
    expect(queue).toMatchObject({ visibilityTimeoutSeconds: 360, sqsManagedSseEnabled: true });
    expect(parsed(queue.redrivePolicy)).toEqual({
      deadLetterTargetArn: arn("sqs", physical(resources, "Queue", "videos-dead-letters")),
      maxReceiveCount: 5,
    });
    const [mapping] = ofType(resources, "EventSourceMapping");
    expect(mapping!.inputs).toMatchObject({
      eventSourceArn: arn("sqs", physical(resources, "Queue", "videos-requests")),
      functionResponseTypes: ["ReportBatchItemFailures"],
      batchSize: 1,
    });
    expect(statementsOf(resources, "videos-transcode-dispatch-role")).toContainEqual(
      allow(
        ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
        arn("sqs", physical(resources, "Queue", "videos-requests")),
      ),
    );
  });

  it("the worker reads uploads, writes outputs, and does neither the other way round", () => {
    const verbsOn = (part: string) => {
      const { bucket } = inputsOf(resources, "Bucket", part);
      return statementsOf(resources, "videos-transcode-work-role")
        .filter(({ Resource }) => Resource.some((one) => one.startsWith(`arn:aws:s3:::${bucket}`)))
        .map(({ Action, Resource }) => [Resource[0]!.replace(bucket, ""), Action]);
    };
    expect(verbsOn("videos-uploads")).toEqual([
      ["arn:aws:s3:::/*", ["s3:GetObject"]],
      ["arn:aws:s3:::", ["s3:ListBucket"]],
    ]);
    expect(verbsOn("videos-outputs")).toEqual([
      ["arn:aws:s3:::/*", ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]],
    ]);
    expect(inputsOf(resources, "Function", "videos-transcode-work")).toMatchObject({
      memorySize: 4096,
      ephemeralStorage: { size: 10_240 },
      timeout: 900,
      layers: [arn("lambda", "layer:f:1"), arn("lambda", "layer:p:1")],
    });
  });
});

/** One of every part that the constructs of the library do not use. */
class Everything extends Construct {
  constructor(cloud: Cloud) {
    super("Everything", "all", { cloud });
    const failures = this.queue("failures");
    const inbox = this.queue("inbox", { visibility: "5 minutes" });
    const secret = this.secret("token", { config: "token" });
    const theirs = this.secret("theirs", { existing: "their/secret" });
    const table = this.table("state", { removable: true });
    const files = this.volume("files");
    const store = this.bucket("short", { expires: "30 days", versioned: true, removable: true });
    const kept = this.bucket("kept", { existing: "a-bucket-of-mine" });
    const inner = this.function("inner", {
      handler: echo,
      when: [
        every("5 minutes"),
        cron("0 4 * * mon-fri", { timeZone: "Asia/Shanghai" }),
        received(inbox, { batch: 100, window: "5 seconds" }),
        created(kept, { prefix: "a*b/" }),
      ],
      failures,
      concurrency: 3,
      attempts: 2,
      environment: { MODE: "quick" },
    } as never);
    this.function("outer", {
      handler: echo,
      links: {
        "inner-one": invoke(inner),
        secret: read(secret),
        theirs: read(theirs),
        table: all(read(table), write(table)),
        files: mount(files, { readOnly: true }),
        failures: send(failures),
        store: all(read(store), remove(store)),
      },
    } as never);
    this.monitor("alarms", {
      alarms: [
        { part: inner, metric: "duration", above: 30, period: "90 seconds" },
        { part: inbox, metric: "age", above: 600 },
      ],
      notify: [failures, inner],
    });
    this.build();
  }
}

describe("every part", () => {
  let resources: readonly RegisteredResource[];
  beforeAll(async () => {
    resources = await deploy((cloud) => new Everything(cloud), {
      network: { endpoints: ["sqs", "secretsmanager", "lambda"] },
      existing: { notifying: ["a-bucket-of-mine"] },
    });
  });
  everywhere(() => resources);

  it("times are schedules of what they start, in their own zone", () => {
    const schedules = ofType(resources, "Schedule").map(({ inputs }) => [
      inputs.scheduleExpression,
      inputs.scheduleExpressionTimezone,
      (parsed((inputs.target as { input: string }).input) as { schedule: string }).schedule,
    ]);
    expect(schedules).toEqual([
      ["rate(5 minutes)", undefined, "all-inner-schedule-1"],
      ["cron(0 4 ? * 2-6 *)", "Asia/Shanghai", "all-inner-schedule-2"],
    ]);
  });

  it("a function's tries, failures, cap and environment are the service's", () => {
    const dead = arn("sqs", physical(resources, "Queue", "all-failures"));
    expect(inputsOf(resources, "FunctionEventInvokeConfig", "all-inner-async")).toMatchObject({
      maximumRetryAttempts: 1,
      destinationConfig: { onFailure: { destination: dead } },
    });
    expect(inputsOf(resources, "Function", "all-inner")).toMatchObject({
      reservedConcurrentExecutions: 3,
      environment: { variables: { MODE: "quick" } },
    });
    expect(ofType(resources, "EventSourceMapping")[0]!.inputs).toMatchObject({
      batchSize: 100,
      maximumBatchingWindowInSeconds: 5,
      scalingConfig: { maximumConcurrency: 3 },
    });
    for (const { inputs } of ofType(resources, "Schedule")) {
      expect(inputs.target).toMatchObject({ deadLetterConfig: { arn: dead } });
    }
    expect(ofType(resources, "EventTarget")[0]!.inputs).toMatchObject({ deadLetterConfig: { arn: dead } });
    expect(ofType(resources, "QueuePolicy")).toHaveLength(1);
    const { policy } = inputsOf(resources, "QueuePolicy", "all-failures-policy");
    expect(parsed(policy)).toMatchObject({
      Statement: [
        {
          Principal: { Service: "sns.amazonaws.com" },
          Resource: dead,
          Condition: { ArnLike: { "aws:SourceArn": arn("sns", "*") } },
        },
        {
          Principal: { Service: "events.amazonaws.com" },
          Condition: { ArnLike: { "aws:SourceArn": arn("events", "rule/*") } },
        },
      ],
    });
  });

  it("a secret's value is in the vault alone, and marked as secret on its way", () => {
    const { secretString } = inputsOf(resources, "SecretVersion", "all-token-value");
    expect(secretString.value ?? secretString).toBe("s3cret");
    const others = resources.filter(({ name }) => name !== "all-token-value");
    expect(JSON.stringify(others)).not.toContain("s3cret");
    expect(statementsOf(resources, "all-outer-role")).toContainEqual(
      allow(["secretsmanager:GetSecretValue"], arn("secretsmanager", "secret:their/secret-??????")),
    );
  });

  it("a volume puts its function into a network with the ways out that were named", () => {
    const mountTargets = ofType(resources, "MountTarget").map(({ inputs }) => inputs.subnetId);
    const made = inputsOf(resources, "Function", "all-outer");
    expect(made.vpcConfig.subnetIds).toEqual(mountTargets);
    expect(made.fileSystemConfig).toEqual({
      arn: arn("elasticfilesystem", "access-point/fsap-all-files-access"),
      localMountPath: "/mnt/all-files",
    });
    expect(inputsOf(resources, "Function", "all-inner").vpcConfig).toBeUndefined();
    const endpoints = ofType(resources, "VpcEndpoint").map(({ inputs }) => [
      inputs.vpcEndpointType,
      inputs.serviceName,
    ]);
    expect(endpoints).toEqual([
      ["Gateway", `com.amazonaws.${REGION}.s3`],
      ["Gateway", `com.amazonaws.${REGION}.dynamodb`],
      ["Interface", `com.amazonaws.${REGION}.sqs`],
      ["Interface", `com.amazonaws.${REGION}.secretsmanager`],
      ["Interface", `com.amazonaws.${REGION}.lambda`],
    ]);
    // It reads only; and the file system asks for the permission.
    expect(statementsOf(resources, "all-outer-role")).toContainEqual({
      ...allow(["elasticfilesystem:ClientMount"], arn("elasticfilesystem", "file-system/fs-all-files")),
      Condition: {
        StringEquals: {
          "elasticfilesystem:AccessPointArn": arn("elasticfilesystem", "access-point/fsap-all-files-access"),
        },
      },
    });
    expect(JSON.stringify(statementsOf(resources, "all-outer-role"))).not.toContain("ClientWrite");
    expect(parsed(inputsOf(resources, "FileSystemPolicy", "all-files-policy").policy)).toMatchObject({
      Statement: [{ Effect: "Deny", Condition: { Bool: { "aws:SecureTransport": "false" } } }],
    });
    const order = listed(resources);
    for (const index of [1, 2]) {
      expect(order.indexOf(`MountTarget all-files-mount-${index}`)).toBeLessThan(order.indexOf("Function all-outer"));
    }
  });

  it("what there is already is used by its name; what may go goes with all in it", () => {
    expect(listOf(resources)).not.toContain("Bucket all-kept");
    expect(ofType(resources, "BucketNotification")).toEqual([]);
    expect(parsed(ofType(resources, "EventRule")[0]!.inputs.eventPattern)).toMatchObject({
      detail: { bucket: { name: ["a-bucket-of-mine"] }, object: { key: [{ prefix: "a*b/" }] } },
    });
    expect(inputsOf(resources, "Bucket", "all-short")).toMatchObject({ forceDestroy: true });
    expect(inputsOf(resources, "BucketVersioning", "all-short-versioning")).toMatchObject({
      versioningConfiguration: { status: "Enabled" },
    });
    expect(inputsOf(resources, "BucketLifecycleConfiguration", "all-short-lifecycle").rules).toMatchObject([
      { id: "abort-incomplete-uploads" },
      { id: "expire", expiration: { days: 30 }, noncurrentVersionExpiration: { noncurrentDays: 30 } },
    ]);
  });

  it("a secret's name is free again once its stack is destroyed", () => {
    expect(inputsOf(resources, "Secret", "all-token").recoveryWindowInDays).toBe(0);
  });

  it("alarms reach queues and functions through a topic of their own", () => {
    const topic = arn("sns", physical(resources, "Topic", "all-alarms-topic"));
    expect(inputsOf(resources, "MetricAlarm", "all-alarms-all-inner-duration")).toMatchObject({
      namespace: "AWS/Lambda",
      metricName: "Duration",
      threshold: 30_000,
      period: 120,
      dimensions: { FunctionName: physical(resources, "Function", "all-inner") },
      alarmActions: [arn("sns", physical(resources, "Topic", `aws-${REGION}-alarms`)), topic],
    });
    expect(inputsOf(resources, "MetricAlarm", "all-alarms-all-inbox-age")).toMatchObject({
      metricName: "ApproximateAgeOfOldestMessage",
      threshold: 600,
      dimensions: { QueueName: physical(resources, "Queue", "all-inbox") },
    });
    expect(inputsOf(resources, "TopicSubscription", "all-alarms-to-all-failures")).toMatchObject({
      protocol: "sqs",
      endpoint: arn("sqs", physical(resources, "Queue", "all-failures")),
    });
    expect(inputsOf(resources, "Permission", "all-alarms-to-all-inner-permission")).toMatchObject({
      principal: "sns.amazonaws.com",
      sourceArn: topic,
    });
    const order = listed(resources);
    // The service knows no permission of a function that is not there yet.
    expect(order.indexOf("Permission all-alarms-to-all-inner-permission")).toBeGreaterThan(
      order.indexOf("Function all-inner"),
    );
  });
});

describe("regions that are partitions of their own", () => {
  it.each([
    ["eu-central-1", "aws", "amazonaws.com"],
    ["cn-northwest-1", "aws-cn", "amazonaws.com.cn"],
    ["us-gov-east-1", "aws-us-gov", "amazonaws.com"],
    ["eusc-de-east-1", "aws-eusc", "amazonaws.eu"],
  ])("%s", (region, partition, domain) => {
    expect(partitionOf(region)).toMatchObject({ partition, domain });
  });

  it("in China some services have endpoints by another name", async () => {
    class Mounting extends Construct {
      constructor(cloud: Cloud) {
        super("Mounting", "mounting", { cloud });
        this.function("one", { handler: echo, links: { files: mount(this.volume("files")) } } as never);
        this.build();
      }
    }
    const resources = await deploy((cloud) => new Mounting(cloud), {
      region: "cn-north-1",
      network: { endpoints: ["sqs", "secretsmanager", "lambda", "states"] },
    });
    expect(ofType(resources, "VpcEndpoint").map(({ inputs }) => inputs.serviceName)).toEqual([
      "com.amazonaws.cn-north-1.s3",
      "com.amazonaws.cn-north-1.dynamodb",
      "cn.com.amazonaws.cn-north-1.sqs",
      "com.amazonaws.cn-north-1.secretsmanager",
      "cn.com.amazonaws.cn-north-1.lambda",
      "cn.com.amazonaws.cn-north-1.states",
    ]);
  });
});

describe("what the user has already", () => {
  it("is the table of runs that a destroyed stack has left", async () => {
    const declare = (cloud: Cloud) => new AsyncTask("reports", { cloud, handler: report, timeout: "10 minutes" });
    const resources = await deploy(declare, { existing: { taskTable: "my-runs" } });
    expect(ofType(resources, "Table")).toEqual([]);
    expect(JSON.stringify(statementsOf(resources, "reports-task-work-role"))).toContain(
      arn("dynamodb", "table/my-runs"),
    );
  });
});

describe("what the account is asked, if the program does not say", () => {
  const zones = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": ({ filters }: { readonly filters?: unknown }) => ({
      names: filters ? ["z-1", "z-2", "z-3"] : ["local-1"],
    }),
  };
  const account = (accountId: string) => ({
    "aws:index/getCallerIdentity:getCallerIdentity": () => ({ accountId }),
  });

  it("where its network may be: in zones that have the services", async () => {
    const declare = (cloud: Cloud) => new AsyncTask("reports", { cloud, handler: report, timeout: "1 hour" });
    const resources = await deploy(declare, { zones: undefined }, zones);
    expect(ofType(resources, "Subnet").map(({ inputs }) => inputs.availabilityZone)).toEqual(["z-1", "z-2"]);
  });

  it("whose it is: the names of buckets are taken in all accounts at once", async () => {
    class Stored extends Construct {
      constructor(cloud: Cloud) {
        super("Stored", "stored", { cloud });
        this.bucket("photos");
        this.function("taker", { handler: echo } as never);
        this.build();
      }
    }
    const bucketsOf = async (number: string, said?: string) => {
      const resources = await deploy((cloud) => new Stored(cloud), { account: said }, account(number));
      return ofType(resources, "Bucket").map(({ inputs }) => inputs.bucket);
    };
    const ours = await bucketsOf("111111111111");
    expect(ours).toEqual([expect.stringMatching(/^stored-photos-/), expect.stringMatching(/-artifacts-/)]);
    expect((await bucketsOf("222222222222")).filter((name) => ours.includes(name))).toEqual([]);
    expect(await bucketsOf("", "111111111111")).toEqual(ours);
  }, 60_000);
});

describe("what is refused, all at once and in words", () => {
  /** What is wrong with a program; nothing of it is made. */
  const problemsOf = async (declare: (cloud: Cloud) => unknown, settings: Partial<AwsSettings> = {}) => {
    const { problems } = await synthesize(() => declare(aws({ region: REGION, account: ACCOUNT, ...settings })));
    return problems.map(({ path, message }) => `${path}: ${message}`);
  };

  it("alarms that tell nobody, a tool from nowhere, a number of days that logs are not kept", async () => {
    const declare = (cloud: Cloud) => new AsyncTask("reports", { cloud, handler: report, tools: ["pandoc", "ffmpeg"] });
    expect(await problemsOf(declare, { logDays: 31 })).toEqual([
      expect.stringMatching(/^aws\.logDays: /),
      expect.stringMatching(/^reports-task-work\.tools: nobody says where "pandoc" comes from/),
      expect.stringMatching(/^reports-alarms\.alarms: nobody is told: .*alarmEmails/),
    ]);
    // A container takes no layers.
    const layers = { existing: { layers: { pandoc: arn("lambda", "layer:p:1") } }, alarmEmails: [] };
    expect(await problemsOf(declare, layers)).toEqual([expect.stringMatching(/^reports-task-work\.tools: .*"pandoc"/)]);
    const short = (cloud: Cloud) =>
      new AsyncTask("reports", { cloud, handler: report, tools: ["pandoc"], timeout: "1 minute" });
    expect(await problemsOf(short, layers)).toEqual([]);
  });

  it("what Lambda has not, and Fargate has", async () => {
    class Large extends Construct {
      constructor(cloud: Cloud) {
        super("Large", "large", { cloud });
        this.function("busy", { handler: echo, memory: "16 GB", cpu: 8, disk: "20 GB" } as never);
        this.build();
      }
    }
    expect(await problemsOf((cloud) => new Large(cloud))).toEqual([
      expect.stringMatching(/^large-busy\.memory: more than Lambda has/),
      expect.stringMatching(/^large-busy\.disk: more than Lambda has/),
      expect.stringMatching(/^large-busy\.cpu: more than Lambda has/),
    ]);
    const declare = (cloud: Cloud) =>
      new AsyncTask("reports", { cloud, handler: report, memory: "16 GB", cpu: 8, disk: "20 GB" });
    expect(await problemsOf(declare, { alarmEmails: [] })).toEqual([]);
  });

  it("an environment that does not fit, a batch nobody waits for, a queue that is none", async () => {
    class Wide extends Construct {
      constructor(cloud: Cloud) {
        super("Wide", "wide", { cloud });
        const buckets = Array.from({ length: 40 }, (_, index) => this.bucket(`part-${index}`));
        const links = Object.fromEntries(buckets.map((bucket, index) => [`link${index}`, read(bucket)]));
        const inbox = this.queue("inbox");
        this.queue("ordered", { existing: "orders.fifo" });
        this.queue("far", { existing: "https://sqs.eu-west-1.amazonaws.com/1/far" });
        this.function("busy", { handler: echo, links, when: received(inbox, { batch: 11 }) } as never);
        this.build();
      }
    }
    expect(await problemsOf((cloud) => new Wide(cloud))).toEqual([
      expect.stringMatching(/^wide-ordered\.existing: .*FIFO/),
      expect.stringMatching(/^wide-far\.existing: .*name is wanted/),
      expect.stringMatching(/^wide-busy\.when\.window: /),
      expect.stringMatching(/^wide-busy\.links: .*4 KB/),
    ]);
  });

  it("fewer calls at once than its queues make, a variable that Lambda has", async () => {
    class Narrow extends Construct {
      constructor(cloud: Cloud) {
        super("Narrow", "narrow", { cloud });
        const [inbox, more] = [this.queue("inbox"), this.queue("more")];
        const environment = { AWS_REGION: "eu-west-1", "A-B": "1", MILLRACE_TOOLS: "{}", AWS_MAX_ATTEMPTS: "2" };
        this.function("one", { handler: echo, when: received(inbox), concurrency: 1, environment } as never);
        this.function("two", { handler: echo, when: [received(inbox), received(more)], concurrency: 3 } as never);
        this.function("quiet", { handler: echo, concurrency: 1 } as never);
        this.build();
      }
    }
    expect(await problemsOf((cloud) => new Narrow(cloud))).toEqual([
      expect.stringMatching(/^narrow-one\.concurrency: every queue calls it 2 times at once/),
      ...Array(3).fill(expect.stringMatching(/^narrow-one\.environment: /)),
      expect.stringMatching(/^narrow-two\.concurrency: /),
    ]);
  });

  it("a bucket of the user's whose notifications would have to be changed", async () => {
    class Watching extends Construct {
      constructor(cloud: Cloud) {
        super("Watching", "watching", { cloud });
        const mine = this.bucket("mine", { existing: "my-own" });
        this.function("look", { handler: echo, when: created(mine) } as never);
        this.build();
      }
    }
    expect(await problemsOf((cloud) => new Watching(cloud))).toEqual([
      expect.stringMatching(/^watching-look\.when: my-own is your own.*notifying: \["my-own"\]/),
    ]);
    expect(await problemsOf((cloud) => new Watching(cloud), { existing: { notifying: ["my-own"] } })).toEqual([]);
  });

  it("a way out that a function in a network has not", async () => {
    class Mounting extends Construct {
      constructor(cloud: Cloud) {
        super("Mounting", "mounting", { cloud });
        const files = this.volume("files");
        const more = this.volume("more");
        const store = this.bucket("store");
        const queue = this.queue("queue");
        const task = this.task("job", { handler: report, timeout: "1 minute", onFailure: queue } as never);
        this.function("one", {
          handler: echo,
          links: { files: mount(files), store: read(store), queue: send(queue), task: control(task) },
        } as never);
        this.function("two", { handler: echo, links: { files: mount(files), more: mount(more) } } as never);
        this.build();
      }
    }
    const declare = (cloud: Cloud) => new Mounting(cloud);
    expect(await problemsOf(declare)).toEqual([
      expect.stringMatching(
        /^mounting-one\.links: .*mounting-queue, mounting-job is reached through sqs: .*endpoints: \["sqs"\]/,
      ),
      expect.stringMatching(/^mounting-one\.links: .* mounting-job is reached through states/),
      expect.stringMatching(/^mounting-two\.links: Lambda mounts one volume/),
    ]);
    expect(await problemsOf(declare, { network: { endpoints: ["sqs", "states"] } })).toHaveLength(1);
    const network = { subnets: ["subnet-1"], securityGroups: ["sg-1"] };
    expect(await problemsOf(declare, { existing: { network } })).toHaveLength(1);
  });

  it("a file system of the user's, by a wrong name, in a network nobody has named", async () => {
    class Theirs extends Construct {
      constructor(cloud: Cloud, existing: string) {
        super("Theirs", "theirs", { cloud });
        this.volume("files", { existing });
        this.build();
      }
    }
    expect(await problemsOf((cloud) => new Theirs(cloud, "fs-1"))).toEqual([
      expect.stringMatching(/^theirs-files\.existing: a file system and its access point are wanted/),
      expect.stringMatching(/^theirs-files\.existing: .*network/),
    ]);
    const network = { subnets: ["subnet-1"], securityGroups: ["sg-1"] };
    const named = (cloud: Cloud) => new Theirs(cloud, "fs-0123abc/fsap-0456def");
    expect(await problemsOf(named, { existing: { network } })).toEqual([]);
  });

  it("alarms to a queue whose policy is the user's", async () => {
    class Telling extends Construct {
      constructor(cloud: Cloud) {
        super("Telling", "telling", { cloud });
        const queue = this.queue("queue", { existing: "theirs" });
        this.monitor("alarms", { alarms: [{ part: queue, metric: "messages", above: 1 }], notify: [queue] });
        this.build();
      }
    }
    expect(await problemsOf((cloud) => new Telling(cloud))).toEqual([
      expect.stringMatching(/^telling-alarms\.notify: telling-queue is your own/),
    ]);
  });

  it("tools that do not fit into a function, when they are there", async () => {
    const sized = async (megabytes: number) => ({ file: "", hash: "", bytes: 1, unzipped: megabytes * 2 ** 20 });
    const check = (megabytes: number) => checkSize("f", sized(1), { one: sized(100), two: sized(megabytes) });
    await expect(check(150)).rejects.toThrow(
      /^f\.tools: unpacked they take 251 MB \(the code 1 MB, one 100 MB, two 150 MB\), and Lambda allows 250 MB/,
    );
    await expect(check(149)).resolves.toBeUndefined();
  });
});

describe("the way to what Millrace does not cover", () => {
  it("alarms may be left out by name, and a tool of one's own becomes a layer", async () => {
    const declare = (cloud: Cloud) =>
      new AsyncTask("reports", { cloud, handler: report, timeout: "1 minute", tools: ["pandoc"] });
    const resources = await deploy(declare, { alarmEmails: [], tools: { pandoc: tool } });
    for (const type of ["MetricAlarm", "Topic"]) expect(ofType(resources, type)).toEqual([]);
    const layer = inputsOf(resources, "LayerVersion", `aws-${REGION}-layer-pandoc`);
    const { environment, layers } = inputsOf(resources, "Function", "reports-task-work");
    expect(layers).toEqual([arn("lambda", `layer:${layer.layerName}:1`)]);
    expect(layer).toMatchObject({ compatibleRuntimes: ["nodejs24.x"], s3Key: expect.stringMatching(/^layers\//) });
    expect(parsed(environment.variables.MILLRACE_TOOLS)).toEqual({ pandoc: "/opt/bin/pandoc" });
  });

  it("every raw resource passes the transform, by its type", async () => {
    const seen = new Set<string>();
    const resources = await deploy((cloud) => new AsyncTask("reports", { cloud, handler: report }), {
      transform: (type, _name, args) => {
        seen.add(type);
        return type === "aws:lambda/function:Function" ? { args: { ...args, description: "ours" } } : undefined;
      },
    });
    const types = new Set(resources.map(({ type }) => type).filter((type) => !type.startsWith("pulumi:")));
    expect(seen).toEqual(types);
    for (const { inputs } of ofType(resources, "Function")) expect(inputs.description).toBe("ours");
  });

  it("a user's own bucket and topic are used, and none is made; other partitions have their own ARNs", async () => {
    const region = "cn-north-1";
    const alarmTopic = `arn:aws-cn:sns:${region}:${ACCOUNT}:theirs`;
    const declare = (cloud: Cloud) => new AsyncTask("reports", { cloud, handler: report, timeout: "1 minute" });
    const existing = { artifacts: "mine" };
    const resources = await deploy(declare, { region, alarmEmails: [], alarmTopic, existing });
    for (const type of ["Bucket", "Topic"]) expect(ofType(resources, type)).toEqual([]);
    expect(inputsOf(resources, "Function", "reports-task-work")).toMatchObject({ s3Bucket: "mine" });
    expect(ofType(resources, "MetricAlarm").map(({ inputs }) => inputs.alarmActions)).toEqual([[alarmTopic]]);
    expect(statementsOf(resources, "reports-task-machine")[0]!.Resource[0]).toMatch(/^arn:aws-cn:lambda:cn-north-1:/);
    expect(JSON.stringify(statementsOf(resources, "reports-task-work-role"))).toContain("arn:aws-cn:s3:::mine/tasks/");
    expect(inputsOf(resources, "StateMachine", "reports-task").definition).not.toContain("arn:aws:");
  });
});

describe("sizes and times in the service's own words", () => {
  const GB = 2 ** 30;
  it.each([
    [0.25, 0.5, "256", "512"],
    [0.25, 1.5, "256", "2048"],
    [0.25, 3, "512", "3072"],
    [0.5, 0.5, "512", "1024"],
    [0.3, 0.25, "512", "1024"],
    [1, 9, "2048", "9216"],
    [4, 30, "4096", "30720"],
    [4, 31, "8192", "32768"],
    [8, 17, "8192", "20480"],
    [2, 61, "16384", "65536"],
    [16, 120, "16384", "122880"],
  ])("%s CPU and %s GB on Fargate", (cpu, memory, units, megabytes) => {
    expect(fargateSize({ cpu, memory: memory * GB })).toEqual({ cpu: units, memory: megabytes });
  });

  it.each([
    [0.05, 512, 512],
    [0.5, 512, 885],
    [1, 4096, 4096],
    [5.78, 512, 10_225],
    [5.78, 10_240, 10_240],
  ])("%s CPU and %s MB on Lambda", (cpu, megabytes, wanted) => {
    expect(memoryOf({ cpu, memory: megabytes * 2 ** 20 })).toBe(wanted);
  });

  it.each([
    ["* * * * *", ["cron(* * * * ? *)"]],
    ["*/15 8-17 * * *", ["cron(0,15,30,45 8-17 * * ? *)"]],
    ["5 0-20/10 1,15 jan-mar *", ["cron(5 0,10,20 1,15 1-3 ? *)"]],
    ["0 4 * * mon-fri", ["cron(0 4 ? * 2-6 *)"]],
    ["0 4 * * sun", ["cron(0 4 ? * 1 *)"]],
    ["0 4 * * 5-7", ["cron(0 4 ? * 1,6,7 *)"]],
    ["0 4 1 * mon", ["cron(0 4 1 * ? *)", "cron(0 4 ? * 2 *)"]],
  ])("the times of %s", (expression, wanted) => {
    expect(scheduleExpressions({ cron: expression, timeZone: "UTC" })).toEqual(wanted);
  });

  it("an interval", () => {
    expect(scheduleExpressions({ every: 60 })).toEqual(["rate(1 minute)"]);
    expect(scheduleExpressions({ every: 7200 })).toEqual(["rate(120 minutes)"]);
  });

  it.each([
    ["", "", undefined],
    ["in/", "", [{ prefix: "in/" }]],
    ["", ".mp4", [{ suffix: ".mp4" }]],
    ["a*b\\", ".mp4", [{ wildcard: "a\\*b\\\\*.mp4" }]],
  ])("objects that begin with %j and end with %j", (prefix, suffix, key) => {
    const { detail } = createdPattern("b", { prefix, suffix });
    expect(detail).toEqual({ bucket: { name: ["b"] }, ...(key && { object: { key } }) });
  });
});
