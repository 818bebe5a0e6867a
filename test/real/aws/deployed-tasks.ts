import {
  CloudWatchLogsClient,
  CreateLogGroupCommand,
  CreateLogStreamCommand,
  PutLogEventsCommand,
} from "@aws-sdk/client-cloudwatch-logs";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { CreateQueueCommand, SQSClient } from "@aws-sdk/client-sqs";
import { stateMachine } from "../../../lib/clouds/aws/deploy/state-machine.ts";
import { start } from "../../../lib/clouds/aws/runtime/entry.ts";
import { handler as dispatch } from "../../../lib/handlers/tasks/dispatch.ts";
import { handler as keep } from "../../../lib/handlers/tasks/keep.ts";
import type { RegisteredResource } from "../../../lib/program/mocks.ts";
import type { Clock } from "../../../lib/runtime/clock.ts";
import type { Deployment, LinkAddress } from "../../../lib/runtime/deployment.ts";
import type { TaskDefinition } from "../../../lib/runtime/tasks/definition.ts";
import type { Environment } from "../../../lib/shared/environment.ts";
import { OWN_TASK, readEnvironment, writeEnvironment } from "../../../lib/shared/environment.ts";
import { policiesOf } from "../../clouds/aws/asked.ts";
import { ACCOUNT, inputsOf, REGION } from "../../clouds/aws/stack.ts";
import { Guard } from "../../clouds/policies.ts";
import { handler as work } from "../../ports/work.ts";
import { GuardedLine } from "../servers/guarded.ts";
import type { MotoServer } from "../servers/moto.ts";
import { type Called, Workshop } from "./workshop.ts";

/** How a task's worker runs. */
export type WorkerPlatform =
  | { readonly platform: "lambda" }
  | { readonly platform: "fargate"; readonly heartbeat: number };

/** Tasks as a deployment makes them, with their tables, buckets, queues and machines on moto. */
export interface DeployedTasks {
  readonly workshop: Workshop;
  readonly addresses: Readonly<Record<string, LinkAddress>>;
  /** URL by logical name. */
  readonly queues: Readonly<Record<"successes" | "failures", string>>;
  /** Writes lines of a worker into its log group. */
  readonly log: (line: string) => void;
  /** What functions have asked for so far that their roles do not allow; nothing where they have none. */
  refused(): readonly string[];
  close(): Promise<void>;
}

const ROLE = { logLevel: "info", tools: {}, sources: {} } as const satisfies Partial<Environment>;

/**
 * @param name makes it the only one of its kind on this server
 * @param speed how many times quicker than the machine's time the clock goes
 * @param resources what a program with the same tasks registers, whose roles the functions are to have
 */
export async function deployTasks(
  moto: MotoServer,
  name: string,
  tasks: readonly TaskDefinition[],
  worker: WorkerPlatform,
  clock: Clock,
  speed: number,
  resources?: readonly RegisteredResource[],
): Promise<DeployedTasks> {
  const workshop = await Workshop.open(moto, name);
  const { url: endpoint, region } = moto;
  const queues = await makeStores(moto, name);
  const log = await logGroup(moto, name, clock);
  const addresses: Record<string, LinkAddress> = {};
  const guard = new Guard(resources ? policiesOf(resources, renames(moto, name, tasks, resources)) : {});
  const lines: GuardedLine[] = [];
  /** The address as a function uses it that has a role. */
  const byRole = async (address: LinkAddress, caller: string): Promise<LinkAddress> => {
    if (!resources) return address;
    const place = { region, account: ACCOUNT, target: endpoint, functions: workshop.functionEndpoint };
    const line = await GuardedLine.open({ ...place, guard, caller });
    lines.push(line);
    const { url } = line;
    const stores = { tableEndpoint: url, bucketEndpoint: url, queueEndpoint: url };
    return { ...address, ...stores, statesEndpoint: url, functionEndpoint: url };
  };
  const timers: NodeJS.Timeout[] = [];
  for (const task of tasks) {
    const { timeout, grace } = task;
    const of = (role: string) => `${name}-${task.name}-${role}`;
    const definition = stateMachine({
      ...{ timeout, grace, keeper: of("keep") },
      ...(worker.platform === "lambda"
        ? { ...worker, worker: of("work") }
        : {
            ...{ ...worker, cluster: "c", taskDefinition: "t", container: of("work") },
            ...{ subnets: ["subnet-1"], securityGroups: ["sg-1"] },
          }),
    });
    const address: LinkAddress = {
      ...{ kind: "task", part: task.name, definition: JSON.stringify(task), platform: worker.platform },
      ...{ table: name, claims: `${name}-claims`, logs: `/${name}`, region, account: "123456789012" },
      machine: await workshop.machine(of("machine"), definition, speed === 1 ? undefined : 1),
      ...{ dispatcher: of("dispatch"), keeper: of("keep"), queues: JSON.stringify(queues), functions: "{}" },
      ...{ tableEndpoint: endpoint, bucketEndpoint: endpoint, queueEndpoint: endpoint, statesEndpoint: endpoint },
      ...{ logsEndpoint: endpoint, functionEndpoint: workshop.functionEndpoint },
    };
    addresses[task.name] = address;
    const make = async (
      role: string,
      handler: unknown,
      link: string,
      module: () => Promise<unknown>,
      seconds: number,
    ) => {
      const own = await byRole(address, `${task.name}-${role}`);
      workshop.functions.set(of(role), functionOf({ handler, link, module, seconds, address: own, clock, log }));
    };
    await make("work", work, OWN_TASK, () => import("../../../lib/clouds/aws/runtime/own-task.ts"), timeout);
    await make("dispatch", dispatch, "task", () => import("../../../lib/clouds/aws/runtime/task.ts"), 60);
    await make("keep", keep, "tasks", () => import("../../../lib/clouds/aws/runtime/keeper.ts"), 120);
    const round = () => workshop.call(of("keep"), { millrace: "schedule", schedule: "keep", time: iso(clock) });
    timers.push(setInterval(() => void round().catch(() => {}), 60_000 / speed));
  }
  return {
    workshop,
    addresses,
    queues,
    log,
    refused: () => guard.refused,
    async close() {
      for (const timer of timers) clearInterval(timer);
      await workshop.close();
      await Promise.all(lines.map((line) => line.close()));
    },
  };
}

/** What lies here for what the program registers. */
function renames(
  { region }: MotoServer,
  name: string,
  tasks: readonly TaskDefinition[],
  resources: readonly RegisteredResource[],
): readonly (readonly [string, string])[] {
  const addressOf = (task: string): LinkAddress => {
    const { variables } = inputsOf(resources, "Function", `${task}-work`).environment;
    return readEnvironment(variables).links[OWN_TASK] as LinkAddress;
  };
  const last = (arn: string) => arn.split(":").at(-1)!;
  const { table, claims } = addressOf(tasks[0]!.name);
  const queues = ["successes", "failures"].map(
    (queue) => [inputsOf(resources, "Queue", `tasks-${queue}`).name as string, `${name}-${queue}`] as const,
  );
  const machines = tasks.map((task) => [last(addressOf(task.name).machine!), `${name}-${task.name}-machine`] as const);
  return [[table!, name], [claims!, `${name}-claims`], [REGION, region], ...queues, ...machines];
}

const iso = (clock: Clock): string => new Date(clock.now()).toISOString();

/** The variables of a worker's process, and of any other. */
export const variablesOf = (link: string, address: LinkAddress): Record<string, string> =>
  writeEnvironment({
    ...ROLE,
    place: { region: address.region!, account: address.account! },
    links: { [link]: address },
  });

interface FunctionArgs {
  readonly handler: unknown;
  readonly link: string;
  readonly module: () => Promise<unknown>;
  readonly seconds: number;
  readonly address: LinkAddress;
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

/** Run by the entry that runs it on Lambda. */
function functionOf({ handler, link, module, seconds, address, clock, log }: FunctionArgs): Called {
  const deployment = { handler, code: {}, settings: {}, ports: { [link]: module } } as unknown as Deployment;
  const entry = start(deployment, { variables: variablesOf(link, address), clock, write: log });
  let calls = 0;
  return (payload) => {
    calls += 1;
    const ends = clock.now() + seconds * 1000;
    return entry(payload, { awsRequestId: `r-${calls}`, getRemainingTimeInMillis: () => ends - clock.now() });
  };
}

async function makeStores({ url: endpoint, region, credentials }: MotoServer, name: string) {
  const settings = { endpoint, region, credentials };
  await new DynamoDBClient(settings).send(
    new CreateTableCommand({
      TableName: name,
      BillingMode: "PAY_PER_REQUEST",
      KeySchema: [
        { AttributeName: "pk", KeyType: "HASH" },
        { AttributeName: "sk", KeyType: "RANGE" },
      ],
      AttributeDefinitions: [
        { AttributeName: "pk", AttributeType: "S" },
        { AttributeName: "sk", AttributeType: "S" },
      ],
    }),
  );
  await new S3Client({ ...settings, forcePathStyle: true }).send(new CreateBucketCommand({ Bucket: `${name}-claims` }));
  const sqs = new SQSClient(settings);
  const queue = async (QueueName: string) => (await sqs.send(new CreateQueueCommand({ QueueName }))).QueueUrl!;
  return { successes: await queue(`${name}-successes`), failures: await queue(`${name}-failures`) };
}

/** What Lambda does with the lines that a function prints. */
async function logGroup({ url: endpoint, region, credentials }: MotoServer, name: string, clock: Clock) {
  const client = new CloudWatchLogsClient({ endpoint, region, credentials });
  const place = { logGroupName: `/${name}`, logStreamName: "one" };
  await client.send(new CreateLogGroupCommand({ logGroupName: place.logGroupName }));
  await client.send(new CreateLogStreamCommand(place));
  let waiting: { readonly timestamp: number; readonly message: string }[] = [];
  let putting = false;
  const put = async () => {
    putting = true;
    while (waiting.length > 0) {
      const logEvents = waiting;
      waiting = [];
      await client.send(new PutLogEventsCommand({ ...place, logEvents })).catch(() => {});
    }
    putting = false;
  };
  return (message: string) => {
    waiting.push({ timestamp: clock.now(), message });
    if (!putting) void put();
  };
}
