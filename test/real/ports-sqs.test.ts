import { CreateQueueCommand, GetQueueAttributesCommand, SQSClient } from "@aws-sdk/client-sqs";
import { describe, expect, it } from "vitest";
import { port as sqsPort } from "../../lib/clouds/aws/runtime/sqs.ts";
import { receiveUntil, testQueue } from "../ports/conformance.ts";
import { awsAccount } from "./servers/aws-account.ts";

const { moto, fresh, account, around } = awsAccount();

/** Seconds a received message stays hidden. */
const VISIBILITY = 2;

async function queueSubject() {
  const subject = await around();
  const client = new SQSClient(account());
  const make = async (Attributes: Record<string, string>) => {
    const command = new CreateQueueCommand({ QueueName: fresh("queue"), Attributes });
    const { QueueUrl } = await client.send(command);
    return QueueUrl!;
  };
  const dead = await make({});
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl: dead, AttributeNames: ["QueueArn"] }),
  );
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount: 3 });
  const url = await make({ VisibilityTimeout: `${VISIBILITY}`, RedrivePolicy });
  const port = (queue: string) =>
    sqsPort({ kind: "queue", part: "work", queue, region: moto().region, endpoint: moto().url }, subject.world);
  return {
    ...subject,
    queue: port(url),
    deadLetters: port(dead),
    visibility: VISIBILITY,
    attempts: 3,
    deduplicates: false,
    takesOldReceipts: true, // "might not be deleted": https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
  };
}

testQueue(queueSubject);

describe("a queue of SQS", () => {
  it.each([
    ["plain", { colour: "blau", "a.b": "1" }],
    ["", {}],
    ["\u0000 \u0007 \uFFFE 🎬 \uD800", {}],
    ['{"millrace":["a",{}]}', {}],
    ["many", Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`n${n}`, "x"]))],
    ["names", { "a b": "1", "..": "2", "AWS.x": "3" }],
    ["values", { empty: "", control: "\u0001" }],
  ])("takes %j with %j", async (body, attributes) => {
    const { queue, close } = await queueSubject();
    await queue.send(body, { attributes });
    expect(await receiveUntil(queue, 1)).toMatchObject([{ body, attributes }]);
    await close();
  });

  it("refuses what is too much for it, and says what that is", async () => {
    const { queue, close } = await queueSubject();
    await expect(queue.send("a", { delay: 901 })).rejects.toMatchObject({ kind: "bad-input", message: /0 to 900/ });
    const long = "x".repeat(2 ** 20 + 1);
    await expect(queue.send(long)).rejects.toMatchObject({ kind: "bad-input", message: /shorter than 1048576/ });
    await expect(queue.extend("nonsense", 1)).rejects.toMatchObject({ kind: "conflict" });
    await close();
  });
});
