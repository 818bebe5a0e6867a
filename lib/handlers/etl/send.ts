import type { StreamRecord } from "../../runtime/events.ts";
import { packMessage } from "../../runtime/packed-message.ts";
import type { BucketWriter, FunctionInvoker, NewRecord, QueueSender } from "../../runtime/ports.ts";
import type { PayloadReference } from "../../runtime/tasks/envelope.ts";
import { type DeadLetter, referred } from "./dead-letter.ts";
import type { Finished, Output } from "./outputs.ts";
import { coordinatesOf, textOf } from "./records.ts";

/** What a function that is a destination gets. */
export interface EtlOutput<Value = unknown> {
  readonly value: Value;
  /** What the pipeline's `key` says of it; else the key of the record it came of, and null of one without. */
  readonly key: string | null;
  /** The same for every delivery of the same output: `<stream>-<partition>-<offset>`, and `-<n>` of further ones. */
  readonly id: string;
  readonly stream: string;
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970, as the record's sender says. */
  readonly timestamp: number;
}

/** Takes bodies that no queue does. */
export type LargeBodies = Pick<BucketWriter, "bucket" | "put">;

/** The longest message, packed, with some room: queues take 64 KB. https://www.alibabacloud.com/help/en/mns/limits */
const LONGEST_MESSAGE = 62 * 1024;
/** Of a text this short nobody has to ask: a character is up to six when it is packed. */
const SURELY_SHORT = 8 * 1024;
/** Characters of a large body that stay in its message. */
const PREVIEW = 1024;

/** Sends an output to a queue; a large one as `{ "reference": { bucket, key, size, preview } }`. */
export async function sendOutput(
  queue: QueueSender,
  large: LargeBodies | undefined,
  stream: string,
  record: StreamRecord,
  { id, body, key }: Output,
): Promise<void> {
  const attributes = { ...attributesOf(id, stream, record), ...(key !== undefined && { key: key.slice(0, 256) }) };
  await send(queue, String(body), attributes, key ?? id, async (text) => {
    const reference = await referenceTo(large, `outputs/${id}.json`, text);
    return JSON.stringify({ reference });
  });
}

/** Sends a dead letter to a queue; of a large one the record lies in the bucket. */
export async function sendLetter(
  queue: QueueSender,
  large: LargeBodies | undefined,
  stream: string,
  letter: DeadLetter,
): Promise<void> {
  const id = coordinatesOf(stream, letter.record);
  const attributes = { ...attributesOf(id, stream, letter.record), error: letter.error.kind };
  await send(queue, JSON.stringify(letter), attributes, `dead-${id}`, async () => {
    const reference = await referenceTo(large, `dead-letters/${id}.json`, JSON.stringify(letter.record));
    return JSON.stringify(referred(letter, reference));
  });
}

const attributesOf = (
  id: string,
  stream: string,
  { partition, offset }: Pick<StreamRecord, "partition" | "offset">,
) => ({
  ...{ id, stream, partition: String(partition), offset: String(offset) },
});

async function send(
  queue: QueueSender,
  body: string,
  attributes: Readonly<Record<string, string>>,
  deduplication: string,
  refer: (body: string) => Promise<string>,
): Promise<void> {
  const isLong = body.length > SURELY_SHORT && packMessage({ body, attributes }).length > LONGEST_MESSAGE;
  await queue.send(isLong ? await refer(body) : body, { attributes, deduplication });
}

async function referenceTo(large: LargeBodies | undefined, key: string, text: string): Promise<PayloadReference> {
  const bytes = Buffer.from(text);
  await large!.put(key, bytes, { contentType: "application/json" });
  return { bucket: large!.bucket, key, size: bytes.byteLength, preview: text.slice(0, PREVIEW) };
}

/** Calls the function that is the destination. */
export const invokeOutput = (
  target: FunctionInvoker,
  stream: string,
  { key: of, partition, offset, timestamp }: StreamRecord,
  { id, body, key }: Output,
): Promise<unknown> =>
  target.invoke({
    value: JSON.parse(String(body)) as unknown,
    key: key ?? (of === undefined ? null : textOf(of)),
    ...{ id, stream, partition, offset, timestamp },
  } satisfies EtlOutput);

/** Outputs as records: with the key, the headers and the time of the record they came of. */
export const recordsOf = ({ record, outputs }: Finished, isMarked: boolean): readonly NewRecord[] =>
  outputs.map(({ id, body, key = record.key }) => ({
    value: body,
    ...(key !== undefined && { key }),
    headers: isMarked ? { ...record.headers, "millrace-id": id } : record.headers,
    timestamp: record.timestamp,
  }));
