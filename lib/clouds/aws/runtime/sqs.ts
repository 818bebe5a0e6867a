import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  type Message as ReceivedMessage,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Message, QueueReceiver, QueueSender, SendOptions } from "../../../runtime/ports.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask, type Kinds, type RequestOptions } from "./ask.ts";
import { fromSqs, toSqs } from "./message.ts";

/** Messages in one answer. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html */
export const MOST_MESSAGES = 10;
/** A receive waits that long for a message, in seconds: without a wait, only some of the service's servers are asked. */
const WAIT = 1;
/** Seconds. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const LONGEST_DELAY = 900;

/** A standard queue of SQS. */
export const port = (address: LinkAddress, world: AwsWorld): QueueSender & QueueReceiver =>
  new SqsQueue(address, world);

class SqsQueue implements QueueSender, QueueReceiver {
  readonly queue: string;
  readonly #url: string;
  readonly #client: SQSClient;
  readonly #world: AwsWorld;

  constructor(address: LinkAddress, world: AwsWorld) {
    this.queue = address.part;
    this.#url = field(address, "queue");
    this.#client = new SQSClient(clientSettings(world, field(address, "region"), address.endpoint));
    this.#world = world;
  }

  /** A standard queue knows no deduplication keys. */
  async send(body: string, { attributes = {}, delay }: SendOptions = {}): Promise<string> {
    const { body: MessageBody, attributes: MessageAttributes } = toSqs({ body, attributes });
    const command = new SendMessageCommand({
      QueueUrl: this.#url,
      MessageBody,
      MessageAttributes,
      ...(delay !== undefined && { DelaySeconds: this.#delay(delay) }),
    });
    const { MessageId = "" } = await this.#ask("send to", (options) => this.#client.send(command, options));
    return MessageId;
  }

  async receive({ limit = MOST_MESSAGES }: { readonly limit?: number } = {}): Promise<readonly Message[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl: this.#url,
      MaxNumberOfMessages: Math.min(limit, MOST_MESSAGES),
      WaitTimeSeconds: WAIT,
      MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp"],
      MessageAttributeNames: ["All"],
    });
    const { Messages = [] } = await this.#ask("receive from", (options) => this.#client.send(command, options));
    return Messages.map(toMessage);
  }

  async acknowledge(receipt: string): Promise<void> {
    const command = new DeleteMessageCommand({ QueueUrl: this.#url, ReceiptHandle: receipt });
    await this.#ask("acknowledge a message of", (options) => this.#client.send(command, options));
  }

  async extend(receipt: string, seconds: number): Promise<void> {
    const command = new ChangeMessageVisibilityCommand({
      QueueUrl: this.#url,
      ReceiptHandle: receipt,
      VisibilityTimeout: Math.ceil(seconds),
    });
    await this.#ask("extend a message of", (options) => this.#client.send(command, options));
  }

  #delay(seconds: number): number {
    if (seconds >= 0 && seconds <= LONGEST_DELAY) return Math.ceil(seconds);
    throw new MillraceError(
      "bad-input",
      `delay of a message to queue ${this.queue} is 0 to ${LONGEST_DELAY} seconds, got ${seconds}`,
    );
  }

  #ask<Answer>(what: string, request: (options: RequestOptions) => Promise<Answer>): Promise<Answer> {
    return ask(`${what} queue ${this.queue}`, this.#world, request, KINDS);
  }
}

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html */
export const KINDS: Kinds = {
  QueueDoesNotExist: "not-found",
  "AWS.SimpleQueueService.NonExistentQueue": "not-found",
  ReceiptHandleIsInvalid: "conflict",
  MessageNotInflight: "conflict",
  RequestThrottled: "unavailable",
  OverLimit: "unavailable",
};

/** A message as it was received. */
export const toMessage = ({ MessageId = "", Body = "", ReceiptHandle = "", ...message }: ReceivedMessage): Message => {
  const { ApproximateReceiveCount = "1", SentTimestamp = "0" } = message.Attributes ?? {};
  const attributes = Object.entries(message.MessageAttributes ?? {}).map(([name, { StringValue }]) => [
    name,
    StringValue,
  ]);
  return {
    id: MessageId,
    ...fromSqs(Body, Object.fromEntries(attributes)),
    receives: Number(ApproximateReceiveCount),
    time: new Date(Number(SentTimestamp)).toISOString(),
    receipt: ReceiptHandle,
  };
};
