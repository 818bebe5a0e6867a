import { looksPacked, type MessageContent, packMessage, unpackMessage } from "../../../runtime/packed-message.ts";

/** A message's body and attributes as SQS has them. */
export interface SqsContent {
  readonly body: string;
  readonly attributes: Readonly<Record<string, { readonly DataType: "String"; readonly StringValue: string }>>;
}

/** What is handed out, in an event or by a receive: those of somebody else may be numbers or bytes. */
export type SqsAttributes = Readonly<Record<string, string | undefined>>;

/**
 * A message as the queue takes it: as it is where that can be, so that anybody can read it. What SQS takes neither as
 * a body nor as an attribute travels in the body, in JSON that says so.
 *
 * @see https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
 */
export function toSqs(content: MessageContent): SqsContent {
  const { body, attributes } = content;
  const entries = Object.entries(attributes);
  const isPlain = isText(body) && !looksPacked(body) && entries.length <= MOST_ATTRIBUTES && entries.every(isAttribute);
  if (!isPlain) return { body: packMessage(content), attributes: {} };
  return {
    body,
    attributes: Object.fromEntries(
      entries.map(([name, value]) => [name, { DataType: "String", StringValue: value }] as const),
    ),
  };
}

/** The message that was sent; one that somebody else sent is taken as it is, attributes that are bytes left out. */
export function fromSqs(body: string, attributes: SqsAttributes): MessageContent {
  const packed = unpackMessage(body);
  if (packed) return packed;
  const texts = Object.entries(attributes).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { body, attributes: Object.fromEntries(texts) };
}

const MOST_ATTRIBUTES = 10;

/** Not empty, and of the characters that XML 1.0 has. */
const isText = (text: string): boolean =>
  text !== "" && !/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u.test(text);

const isAttribute = ([name, value]: readonly [string, string]): boolean =>
  /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name) &&
  name.length <= 256 &&
  !/^(aws|amazon)\./i.test(name) &&
  isText(value);
