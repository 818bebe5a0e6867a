import { DEFAULT_TOOLS, toolSource } from "../../../bundle/tool.ts";
import { checkLag } from "../../../parts/check.ts";
import type { Part } from "../../../parts/part.ts";
import type { FunctionPlan, MonitorPlan, PartKind, PartPlan, QueuePlan, SourcePlan } from "../../../parts/plan.ts";
import { authorityBytes } from "../../../parts/stream.ts";
import type { Problem } from "../../../shared/problem.ts";
import { formatBytes } from "../../../shared/size.ts";
import { checkPollers, checkStream, checkStreamsOf, streamBytes } from "./check-streams.ts";
import { checkWorkflow } from "./check-workflow.ts";
import type { EndpointService } from "./network.ts";
import type { AwsSettings } from "./shared.ts";
import { checkPrograms, isContained } from "./sidecar.ts";
import { LEAST_AT_ONCE, mostAtOnce } from "./trigger.ts";
import { EXISTING_VOLUME } from "./volume.ts";

type Find = (name: string) => PartPlan | undefined;

/** What only this cloud refuses, and no bound in its support data can say. */
export const checkAws = (settings: AwsSettings, parts: readonly Part[], find: Find): readonly Problem[] => [
  ...checkLogDays(settings),
  ...checkPollers(settings),
  ...parts.flatMap(({ plan }) => checkPart(settings, plan, find)),
];

function checkPart(settings: AwsSettings, plan: PartPlan, find: Find): readonly Problem[] {
  switch (plan.kind) {
    case "function":
      if (plan.program && "image" in plan.program) return [];
      return isContainer(plan, find)
        ? [...checkContainer(settings, plan), ...checkPrograms(plan, find), ...checkStreamsOf(settings, plan, find)]
        : [
            ...checkPrograms(plan, find),
            ...checkTools(settings, plan),
            ...checkLambda(plan),
            ...checkSources(settings, plan, find),
            ...checkConcurrency(plan),
            ...checkVariables(plan),
            ...checkMount(settings, plan, find),
            ...checkStreamsOf(settings, plan, find),
            ...checkEnvironment(plan, find),
          ];
    case "queue":
      return checkQueue(plan);
    case "monitor":
      return [...checkMonitor(settings, plan, find), ...checkLag(plan, find)];
    case "stream":
      return checkStream(plan);
    case "volume":
      return checkVolume(settings, plan.name, plan.existing);
    case "workflow":
      return checkWorkflow(plan, find);
    default:
      return [];
  }
}

/** A worker that Lambda cannot run. */
function isContainer({ role }: FunctionPlan, find: Find): boolean {
  const task = role?.duty === "worker" ? find(role.task) : undefined;
  return task?.kind === "task" && isContained(task, find);
}

/** https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html */
const LOG_DAYS: readonly number[] = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

const checkLogDays = ({ logDays = 30 }: AwsSettings): readonly Problem[] =>
  LOG_DAYS.includes(logDays)
    ? []
    : [
        {
          path: "aws.logDays",
          message: "CloudWatch keeps logs for certain numbers of days only",
          given: logDays,
          allowed: LOG_DAYS.join(", "),
        },
      ];

function checkTools({ tools, existing }: AwsSettings, plan: FunctionPlan): readonly Problem[] {
  const isKnown = (tool: string) => toolSource(tool, tools) ?? existing?.layers?.[tool];
  return plan.tools
    .filter((tool) => !isKnown(tool))
    .map((tool) => ({
      path: `${plan.name}.tools`,
      message: `nobody says where "${tool}" comes from: aws({ tools: { "${tool}": { url, sha256 } } })`,
      allowed: `${Object.keys(DEFAULT_TOOLS).join(", ")}, and what the cloud's settings name`,
    }));
}

/** A container takes no layers: its tools are fetched. */
const checkContainer = ({ tools, existing: _, ...settings }: AwsSettings, plan: FunctionPlan): readonly Problem[] =>
  checkTools({ ...settings, ...(tools && { tools }) }, plan);

const MB = 2 ** 20;

/** What Fargate allows, and Lambda does not. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const LAMBDA = { memory: 10_240 * MB, disk: 10_240 * MB, cpu: 5.78 } as const;

function checkLambda(plan: FunctionPlan): readonly Problem[] {
  return (["memory", "disk", "cpu"] as const)
    .filter((option) => plan[option] > LAMBDA[option])
    .map((option) => ({
      path: `${plan.name}.${option}`,
      message: "more than Lambda has: work with it in a task whose timeout is over 15 minutes, which runs on Fargate",
      given: option === "cpu" ? plan.cpu : formatBytes(plan[option]),
      allowed: `at most ${option === "cpu" ? LAMBDA.cpu : formatBytes(LAMBDA[option])}`,
    }));
}

/** From this many messages on, a batch has to be waited for. https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html */
const MOST_AT_ONCE = 10;

function checkSources(settings: AwsSettings, { name, sources }: FunctionPlan, find: Find): readonly Problem[] {
  return sources.flatMap((source): readonly Problem[] => {
    if (source.type === "bucket.created") return checkBucketSource(settings, name, source, find);
    if (source.type !== "queue.received" || source.batch <= MOST_AT_ONCE || source.window >= 1) return [];
    return [
      {
        path: `${name}.when.window`,
        message: `Lambda waits for batches of more than ${MOST_AT_ONCE} messages`,
        given: `${source.window} seconds`,
        allowed: `at least "1 second", or a batch of at most ${MOST_AT_ONCE}`,
      },
    ];
  });
}

function checkConcurrency(plan: FunctionPlan): readonly Problem[] {
  const most = mostAtOnce(plan);
  const queues = plan.sources.filter(({ type }) => type === "queue.received").length;
  if (most === undefined || queues === 0 || most >= LEAST_AT_ONCE) return [];
  return [
    {
      path: `${plan.name}.concurrency`,
      message: `every queue calls it ${LEAST_AT_ONCE} times at once, and messages that are turned away become dead letters that nobody worked on`,
      given: plan.concurrency,
      allowed: `at least ${LEAST_AT_ONCE * queues}, or make it a task: its concurrency can be 1`,
    },
  ];
}

/** Lambda's own. https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime */
const RESERVED =
  /^(AWS_(DEFAULT_)?REGION|AWS_EXECUTION_ENV|AWS_ACCESS_KEY(_ID)?|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|AWS_LAMBDA_.*|LAMBDA_TASK_ROOT|LAMBDA_RUNTIME_DIR|MILLRACE_.*)$/;

const checkVariables = ({ name, environment }: FunctionPlan): readonly Problem[] =>
  Object.keys(environment)
    .filter((variable) => RESERVED.test(variable) || !/^[A-Za-z]\w+$/.test(variable))
    .map((variable) => ({
      path: `${name}.environment`,
      message: "Lambda takes no variable of this name, or it is set already",
      given: variable,
      allowed: "a letter, then letters, digits and _; not those that Lambda or Millrace sets",
    }));

/** The notifications of a user's own bucket are one setting: to add ours would be to replace theirs. */
function checkBucketSource(
  { existing }: AwsSettings,
  name: string,
  { bucket }: Extract<SourcePlan, { readonly type: "bucket.created" }>,
  find: Find,
): readonly Problem[] {
  const physical = find(bucket)?.existing;
  if (physical === undefined || existing?.notifying?.includes(physical)) return [];
  return [
    {
      path: `${name}.when`,
      message: `${physical} is your own, and its notifications are never changed: turn on Amazon EventBridge in its properties, and say so by aws({ existing: { notifying: ["${physical}"] } })`,
      given: bucket,
    },
  ];
}

/** What is reached from the network that is made, without a paid endpoint: S3 and DynamoDB. */
const NEEDS: Readonly<Partial<Record<PartKind, readonly EndpointService[]>>> = {
  queue: ["sqs"],
  secret: ["secretsmanager"],
  function: ["lambda"],
  task: ["states", "lambda", "sqs"],
  workflow: ["states"],
};

/** A function that mounts a volume is in a network, and takes nothing out of it for granted. */
function checkMount(settings: AwsSettings, plan: FunctionPlan, find: Find): readonly Problem[] {
  const linked = [...new Set(Object.values(plan.links).map(({ part }) => part))];
  const volumes = linked.filter((part) => find(part)?.kind === "volume");
  if (volumes.length === 0) return [];
  const several: readonly Problem[] =
    volumes.length === 1
      ? []
      : [
          {
            path: `${plan.name}.links`,
            message: "Lambda mounts one volume",
            given: volumes.join(", "),
            allowed: "one",
          },
        ];
  if (settings.existing?.network) return several;
  const elsewhere = Object.values(plan.links).filter(({ cloud }) => cloud !== undefined);
  const open = settings.network?.endpoints ?? [];
  const parts = [...linked, ...(plan.role?.duty === "worker" ? [plan.role.task] : [])];
  const missing = parts.flatMap((part) => servicesOf(find(part), find).filter((service) => !open.includes(service)));
  return [
    ...several,
    ...elsewhere.map(({ part, cloud }) => ({
      path: `${plan.name}.links`,
      message:
        "a function that mounts a volume is in a network without a way out of its region: name one with a way out by aws({ existing: { network } })",
      given: `${part} on ${cloud}`,
    })),
    ...[...new Set(missing)].map((service) => ({
      path: `${plan.name}.links`,
      message: `a function that mounts a volume is in a network without a way out, and ${parts.filter((part) => servicesOf(find(part), find).includes(service)).join(", ")} is reached through ${service}: name its endpoint, which is paid by the hour, by aws({ network: { endpoints: ["${service}"] } }), or a network with a way out by aws({ existing: { network } })`,
    })),
  ];
}

/** A task tells queues and functions only if it has some. */
function servicesOf(plan: PartPlan | undefined, find: Find): readonly EndpointService[] {
  const services = (plan && NEEDS[plan.kind]) ?? [];
  if (plan?.kind !== "task") return services;
  const kinds = [...plan.onSuccess, ...plan.onFailure].map(({ name }) => find(name)?.kind);
  return services.filter((service) => service === "states" || kinds.includes(service === "sqs" ? "queue" : "function"));
}

/** Messages of a FIFO queue need a group and a name each, which no port gives them. */
const checkQueue = ({ name, existing }: QueuePlan): readonly Problem[] =>
  existing?.endsWith(".fifo")
    ? [{ path: `${name}.existing`, message: "a standard queue is wanted, not a FIFO one", given: existing }]
    : existing?.includes("/") || existing?.includes(":")
      ? [{ path: `${name}.existing`, message: "the queue's name is wanted, not its URL or ARN", given: existing }]
      : [];

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html */
const LONGEST_PERIOD = 86_400;

function checkMonitor(settings: AwsSettings, { name, alarms, notify }: MonitorPlan, find: Find): readonly Problem[] {
  const { alarmEmails, alarmTopic } = settings;
  const isTold = alarmTopic !== undefined || alarmEmails !== undefined || notify.length > 0;
  const untold: readonly Problem[] =
    alarms.length === 0 || isTold
      ? []
      : [
          {
            path: `${name}.alarms`,
            message:
              'nobody is told: name who by aws({ alarmEmails: ["operators@example.com"] }) or aws({ alarmTopic: "arn:…" }), or alarmEmails: [] for no alarms',
          },
        ];
  return [
    ...untold,
    ...alarms
      .filter(({ period }) => period > LONGEST_PERIOD)
      .map(({ period }) => ({
        path: `${name}.alarms`,
        message: "CloudWatch looks at a day at most",
        given: `${period} seconds`,
        allowed: "at most 1 day",
      })),
    ...notify
      .filter((target) => find(target.name)?.existing !== undefined)
      .map((target) => ({
        path: `${name}.notify`,
        message: `${target.name} is your own, and its policy is never changed: subscribe it to a topic of yours, and name that by aws({ alarmTopic })`,
      })),
  ];
}

function checkVolume({ existing: owned }: AwsSettings, name: string, existing: string | undefined): readonly Problem[] {
  if (existing === undefined) return [];
  const path = `${name}.existing`;
  const isNamed = EXISTING_VOLUME.test(existing);
  return [
    ...(isNamed
      ? []
      : [
          {
            path,
            message: "a file system and its access point are wanted",
            given: existing,
            allowed: "fs-0123456789abcdef0/fsap-0123456789abcdef0",
          },
        ]),
    ...(owned?.network
      ? []
      : [
          {
            path,
            message:
              "a file system you have is in a network of yours: name it by aws({ existing: { network: { subnets, securityGroups } } })",
          },
        ]),
  ];
}

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html */
const ENVIRONMENT_BYTES = 4096;

/** With each name as long as its rule allows: what fits now fits whatever the stack is called. */
function checkEnvironment(plan: FunctionPlan, find: Find): readonly Problem[] {
  const own = Object.entries(plan.environment).reduce((sum, [name, value]) => sum + bytesOf(name) + bytesOf(value), 0);
  const task = plan.role?.duty === "worker" ? find(plan.role.task) : undefined;
  const links = Object.entries(plan.links).map(
    ([name, { part, keys }]) => bytesOf(name) + addressBytes(find(part)) + (keys === undefined ? 0 : 16 + keys.length),
  );
  const sources = plan.sources.reduce((sum, { type }) => sum + (type === "stream.consumed" ? TOPIC : SOURCE), 0);
  const bytes = [
    own,
    BASE,
    sources,
    ...links,
    authorityBytes(plan, find),
    ...(task ? [addressBytes(task)] : []),
  ].reduce((sum, one) => sum + one);
  if (bytes <= ENVIRONMENT_BYTES) return [];
  return [
    {
      path: `${plan.name}.links`,
      message: "the environment of a function holds the addresses of its links, and Lambda allows 4 KB of it",
      given: `up to ${bytes} bytes`,
      allowed: `at most ${ENVIRONMENT_BYTES} bytes: link fewer parts, or shorten environment`,
    },
  ];
}

const bytesOf = (text: string): number => Buffer.byteLength(text) + 2;

/** Region, account, log level and tools. */
const BASE = 300;
/** A queue's ARN, with the name of the part. */
const SOURCE = 200;
/** A topic's name, with that of the stream. */
const TOPIC = 400;

/** Names at their longest, and the JSON around them. */
function addressBytes(plan: PartPlan | undefined): number {
  const name = plan?.name.length ?? 0;
  switch (plan?.kind) {
    case "bucket":
      return name + 63 + 90;
    case "queue":
      return name + 80 + 150;
    case "table":
      return name + 80 + 90;
    case "secret":
      return name + 80 + 170;
    case "stream":
      return name + streamBytes(plan);
    case "task": {
      const { onSuccess, onFailure, ...rest } = plan;
      const destinations = [...onSuccess, ...onFailure].reduce((sum, one) => sum + 3 * one.name.length + 200, 0);
      return 2 * JSON.stringify(rest).length + destinations + 900;
    }
    case "workflow":
      return name + 80 + 80 + 80 + plan.stem.length + 140;
    default:
      return name + 64 + 90;
  }
}
