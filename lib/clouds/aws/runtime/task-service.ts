import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { onFirstUse } from "../../../runtime/first-use.ts";
import { lateClaims, type TaskLimits } from "../../../runtime/tasks/bodies.ts";
import { type BriefTaskService, briefTaskService } from "../../../runtime/tasks/brief-service.ts";
import type { AwsWorld } from "./account.ts";
import { port as dynamodbPort } from "./dynamodb.ts";
import { StatesPlatform } from "./states-platform.ts";

/**
 * An execution takes 256 KiB, with what says whose it is. What is longer than this costs less in a bucket than in the
 * table.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
 */
const LAMBDA: TaskLimits = { taskPayloadBytes: 64 * 1024, taskResultBytes: 64 * 1024 };

/**
 * All overrides of a Fargate task are 8,192 characters. A task token is up to 2,048 of them, and an attempt with ids of
 * 200 characters, 4 bytes each, takes the most of the rest in base 64.
 *
 * @see https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
 */
const FARGATE: TaskLimits = { ...LAMBDA, taskPayloadBytes: 1024 };

/**
 * A task's service on Step Functions. Each of the SDK's clients takes tens of milliseconds to load: those of the table
 * and of the executions are for every call, the others wait for what needs them.
 */
export async function taskService(address: LinkAddress, world: AwsWorld): Promise<BriefTaskService> {
  const functions = onFirstUse(async () => new (await import("./functions.ts")).Functions(address, world));
  const logs = onFirstUse(async () => (await import("./logs.ts")).groupLogs(address, world));
  const platform = new StatesPlatform(address, world);
  return briefTaskService({
    address,
    world,
    table: await dynamodbPort(tableAddress(address), world),
    claims: lateClaims(field(address, "claims"), async () =>
      (await import("./s3.ts")).port(claimsAddress(address), world),
    ),
    platform,
    logs: {
      append: async () => {}, // what functions print goes there by itself
      read: async (...asked) => (await logs()).read(...asked),
      watch: () => () => {},
      remove: async () => {},
    },
    limits: field(address, "platform") === "fargate" ? FARGATE : LAMBDA,
    invoke: async (name, call) => (await functions()).invoke(name, JSON.stringify(call)),
    start: async (name, call) => (await functions()).start(name, JSON.stringify(call)),
    async send({ name, physical }, body) {
      const sqs = await import("./sqs.ts");
      const queue = sqs.port(queueAddress(address, name, physical), world);
      await queue.send(body);
    },
    wake: (seconds) => platform.wake(seconds),
  });
}

const tableAddress = (address: LinkAddress): LinkAddress => ({
  kind: "table",
  part: field(address, "table"),
  table: field(address, "table"),
  ...placeOf(address, address.tableEndpoint),
});

const claimsAddress = (address: LinkAddress): LinkAddress => ({
  kind: "bucket",
  part: field(address, "claims"),
  bucket: field(address, "claims"),
  ...placeOf(address, address.bucketEndpoint),
});

const queueAddress = (address: LinkAddress, part: string, queue: string): LinkAddress => ({
  kind: "queue",
  part,
  queue,
  ...placeOf(address, address.queueEndpoint),
});

const placeOf = (address: LinkAddress, endpoint: string | undefined) => ({
  region: field(address, "region"),
  ...(endpoint !== undefined && { endpoint }),
});
