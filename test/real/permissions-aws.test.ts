import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { CreateSecretCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { CreateStateMachineCommand, SFNClient, StartExecutionCommand } from "@aws-sdk/client-sfn";
import { CreateQueueCommand, SQSClient } from "@aws-sdk/client-sqs";
import { IAM_ACTIONS } from "../../lib/clouds/aws/deploy/permissions.ts";
import { port as dynamodbPort } from "../../lib/clouds/aws/runtime/dynamodb.ts";
import { port as functionPort } from "../../lib/clouds/aws/runtime/function.ts";
import { port as s3Port } from "../../lib/clouds/aws/runtime/s3.ts";
import { port as secretsPort } from "../../lib/clouds/aws/runtime/secrets.ts";
import { port as sqsPort } from "../../lib/clouds/aws/runtime/sqs.ts";
import { executionName } from "../../lib/clouds/aws/runtime/states-platform.ts";
import { port as taskPort } from "../../lib/clouds/aws/runtime/task.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { LinkAddress } from "../../lib/runtime/deployment.ts";
import { readEnvironment } from "../../lib/shared/environment.ts";
import { policiesOf } from "../clouds/aws/asked.ts";
import { ACCOUNT, deploy, inputsOf, ofType, REGION } from "../clouds/aws/stack.ts";
import { Guard } from "../clouds/policies.ts";
import {
  type AskedAction,
  functionOf,
  OneLinkEach,
  type PortOptions,
  testVerbs,
  type VerbsWorld,
} from "../clouds/verbs.ts";
import { Workshop } from "./aws/workshop.ts";
import { awsAccount } from "./servers/aws-account.ts";
import { GuardedLine } from "./servers/guarded.ts";

const PORTS = {
  bucket: s3Port,
  queue: sqsPort,
  table: dynamodbPort,
  secret: secretsPort,
  function: functionPort,
  task: taskPort,
} as const;

const { moto, account, around } = awsAccount();

/** An attempt that goes on until it is stopped. */
const FOREVER = JSON.stringify({ StartAt: "Work", States: { Work: { Type: "Wait", Seconds: 86_400, End: true } } });

testVerbs({
  name: "AWS, on moto",
  actions: IAM_ACTIONS,
  denied: /AccessDenied.*not authorized to perform/,
  async open() {
    const resources = await deploy((cloud) => void new OneLinkEach(cloud));
    const { region, url } = moto();
    const here = <Value>(value: Value) =>
      JSON.parse(
        JSON.stringify(value).replaceAll(REGION, region).replaceAll(`https://sqs.${region}.amazonaws.com`, url),
      ) as Value;
    const linkOf = (action: AskedAction): LinkAddress => {
      const { variables } = inputsOf(resources, "Function", functionOf(action)).environment;
      const { queues, ...address } = here(readEnvironment(variables).links.it as LinkAddress);
      return { ...address, ...(queues !== undefined && { queues: JSON.stringify(here(JSON.parse(queues))) }) };
    };
    const addresses = {
      bucket: linkOf("bucket.read"),
      queue: linkOf("queue.send"),
      table: linkOf("table.read"),
      secret: linkOf("secret.read"),
      function: linkOf("function.invoke"),
      task: linkOf("task.submit"),
    };
    const { task } = addresses;
    await makeStores(
      addresses,
      ofType(resources, "Queue").map(({ inputs }) => String(inputs.name)),
    );
    const sfn = new SFNClient(account());
    const name = task.machine!.split(":").at(-1)!;
    const roleArn = `arn:aws:iam::${ACCOUNT}:role/states`;
    await sfn.send(new CreateStateMachineCommand({ name, definition: FOREVER, roleArn }));
    const workshop = await Workshop.open(moto(), "verbs");
    const [hook] = Object.values(JSON.parse(task.functions!) as Record<string, string>);
    for (const one of [addresses.function.function!, hook!]) workshop.functions.set(one, async (payload) => payload);
    const guard = new Guard(policiesOf(resources, [[REGION, region]]));
    const lines = new Map<string, GuardedLine>();
    const lineOf = async (caller: string): Promise<GuardedLine> => {
      const place = { region, account: ACCOUNT, target: url, functions: workshop.functionEndpoint };
      const line = lines.get(caller) ?? (await GuardedLine.open({ ...place, guard, caller }));
      lines.set(caller, line);
      return line;
    };
    const { world, close } = await around();
    const endpointsOf = (kind: keyof typeof addresses, endpoint: string, functionEndpoint: string) =>
      kind === "task"
        ? {
            ...{ tableEndpoint: endpoint, bucketEndpoint: endpoint, queueEndpoint: endpoint, statesEndpoint: endpoint },
            ...{ logsEndpoint: endpoint, functionEndpoint },
          }
        : { endpoint: kind === "function" ? functionEndpoint : endpoint };
    return {
      guard,
      addresses,
      async port(kind, { role, ahead = 0, address }: PortOptions = {}) {
        const line = role === undefined ? undefined : (await lineOf(role)).url;
        const endpoints = endpointsOf(kind, line ?? url, line ?? workshop.functionEndpoint);
        const clock = {
          now: () => systemClock.now() + ahead,
          at: (time: number, callback: () => void) => systemClock.at(time - ahead, callback),
        };
        return (await PORTS[kind]({ ...addresses[kind], ...endpoints, ...address }, { ...world, clock })) as never;
      },
      async startBefore(id) {
        const execution = executionName({ task: task.part, id, attempt: 1 });
        await sfn.send(new StartExecutionCommand({ stateMachineArn: task.machine, name: execution, input: "{}" }));
      },
      async loseClaims() {
        const claims = s3Port({ ...addresses.bucket, bucket: task.claims!, endpoint: url }, world);
        for (const { key } of (await claims.list()).objects) await claims.remove(key);
      },
      breakStarts() {
        for (const { failing } of lines.values()) failing.add("states:StartExecution");
        return () => {
          for (const { failing } of lines.values()) failing.clear();
        };
      },
      requests: () => [...lines.values()].reduce((sum, { requests }) => sum + requests, 0),
      async close() {
        await Promise.all([...lines.values()].map((line) => line.close()));
        await workshop.close();
        await close();
      },
    } satisfies VerbsWorld;
  },
});

async function makeStores(
  { bucket, table, task }: Readonly<Record<"bucket" | "table" | "task", LinkAddress>>,
  queues: readonly string[],
): Promise<void> {
  const s3 = new S3Client({ ...account(), forcePathStyle: true });
  for (const Bucket of [bucket.bucket!, task.claims!]) await s3.send(new CreateBucketCommand({ Bucket }));
  const dynamodb = new DynamoDBClient(account());
  for (const TableName of [table.table!, task.table!])
    await dynamodb.send(
      new CreateTableCommand({
        TableName,
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
  const sqs = new SQSClient(account());
  for (const QueueName of queues) await sqs.send(new CreateQueueCommand({ QueueName }));
  const secrets = new SecretsManagerClient(account());
  await secrets.send(new CreateSecretCommand({ Name: "a-secret", SecretString: "s3cret" }));
}
