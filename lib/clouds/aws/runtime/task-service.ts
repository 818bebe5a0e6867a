import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { TaskLimits } from "../../../runtime/tasks/bodies.ts";
import { type BriefTaskService, briefTaskService } from "../../../runtime/tasks/brief-service.ts";
import type { AwsWorld } from "./account.ts";
import { port as dynamodbPort } from "./dynamodb.ts";
import { Functions } from "./functions.ts";
import { groupLogs } from "./logs.ts";
import { port as s3Port } from "./s3.ts";
import { port as sqsPort } from "./sqs.ts";
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

/** A task's service on Step Functions. */
export async function taskService(address: LinkAddress, world: AwsWorld): Promise<BriefTaskService> {
  const functions = new Functions(address, world);
  const platform = new StatesPlatform(address, world);
  return briefTaskService({
    address,
    world,
    table: await dynamodbPort(tableAddress(address), world),
    claims: await s3Port(claimsAddress(address), world),
    platform,
    logs: groupLogs(address, world),
    limits: field(address, "platform") === "fargate" ? FARGATE : LAMBDA,
    invoke: (name, call) => functions.invoke(name, JSON.stringify(call)),
    start: (name, call) => functions.start(name, JSON.stringify(call)),
    async send({ name, physical }, body) {
      const queue = await sqsPort(queueAddress(address, name, physical), world);
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
