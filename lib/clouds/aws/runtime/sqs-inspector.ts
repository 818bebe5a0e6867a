import {
  ChangeMessageVisibilityCommand,
  GetQueueAttributesCommand,
  type Message as ReceivedMessage,
  ReceiveMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { PeekedMessage, QueueInspector } from "../../../runtime/system.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask } from "./ask.ts";
import { KINDS, MOST_MESSAGES, toMessage } from "./sqs.ts";

/** Messages are hidden that many seconds while they are looked at. */
const LOOK = 10;

/** Looks into a queue of SQS, for operators: a function's link does not. */
export function inspector(address: LinkAddress, world: AwsWorld): QueueInspector {
  const QueueUrl = field(address, "queue");
  const client = new SQSClient(clientSettings(world, field(address, "region"), address.endpoint));
  const attributes = async () => {
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] });
    const answer = await ask(`look at queue ${address.part}`, world, (options) => client.send(command, options), KINDS);
    return answer.Attributes ?? {};
  };
  return {
    /** The service does not say how old the oldest message is, and counts what its servers know at the moment. */
    async stats() {
      const found = await attributes();
      return {
        ready: Number(found.ApproximateNumberOfMessages ?? 0),
        inFlight: Number(found.ApproximateNumberOfMessagesNotVisible ?? 0),
        delayed: Number(found.ApproximateNumberOfMessagesDelayed ?? 0),
      };
    },
    /** There is no looking without receiving: it is done where a receive more does no harm. */
    async peek(limit) {
      if ((await attributes()).RedrivePolicy !== undefined)
        throw new MillraceError(
          "refused",
          `queue ${address.part}: SQS shows no message without receiving it, and every receive counts here towards the dead letters; its dead letters can be looked at`,
        );
      return look(client, QueueUrl, limit, address, world);
    },
  };
}

async function look(client: SQSClient, QueueUrl: string, limit: number, { part }: LinkAddress, world: AwsWorld) {
  const found = new Map<string, ReceivedMessage>();
  while (found.size < limit) {
    const command = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: Math.min(limit - found.size, MOST_MESSAGES),
      VisibilityTimeout: LOOK,
      WaitTimeSeconds: 1,
      MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp"],
      MessageAttributeNames: ["All"],
    });
    const { Messages = [] } = await ask(`peek queue ${part}`, world, (options) => client.send(command, options), KINDS);
    if (Messages.length === 0) break;
    for (const message of Messages) found.set(message.MessageId ?? "", message);
  }
  const messages = [...found.values()];
  await Promise.all(
    messages.map(({ ReceiptHandle }) =>
      client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 })),
    ),
  );
  return messages.map((message): PeekedMessage => {
    const { receipt: _, ...peeked } = toMessage(message);
    return { ...peeked, receives: peeked.receives - 1 };
  });
}
