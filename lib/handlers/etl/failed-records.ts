import { kafkaDataOf, topicRecordOf } from "../../runtime/connector-records.ts";
import type { TopicRecord } from "../../runtime/consumed.ts";
import { type ErrorRecord, MillraceError } from "../../runtime/errors.ts";
import type { BucketReader, TaskController } from "../../runtime/ports.ts";
import { type RecordsReference, recordFromWire, type WireConsumed } from "../../runtime/stream-records.ts";
import type { Envelope } from "../../runtime/tasks/envelope.ts";
import { isObject } from "../../shared/is-object.ts";
import type { DeadLetter } from "./dead-letter.ts";
import { type ConnectorRecord, fromConnector } from "./records.ts";

/** What a message of a failure queue is about. */
export interface FailedRecords {
  readonly error: Pick<ErrorRecord, "kind" | "message">;
  /** Those that the message, or what it refers to, has in full. */
  readonly records: readonly TopicRecord[];
  /** Those that lie in their stream alone. */
  readonly ranges: readonly TopicRange[];
}

/** Records of one partition, by the first and the last offset. */
export interface TopicRange {
  /** The stream's name, or its topic's. */
  readonly topic: string;
  readonly partition: number;
  readonly first: number;
  readonly last: number;
}

/** Where lies what is too large for a message. */
export interface Elsewhere {
  /** Records of dead letters. */
  readonly large: BucketReader;
  /** The payloads of runs; of pipelines without any, undefined. */
  readonly runs?: Pick<TaskController, "audit">;
}

/**
 * Reads a message as whoever gave records up has written it.
 *
 * @throws `bad-input` if nobody would have written it so, `not-found` if what it refers to is gone
 */
export async function failedIn(body: string, elsewhere: Elsewhere): Promise<FailedRecords> {
  const found = parsed(body);
  if (isObject(found)) {
    if ("record" in found) return fromLetter(found as unknown as DeadLetter, elsewhere);
    if ("event" in found) return fromBatch(found as unknown as FailedBatch);
    if ("requestPayload" in found) return fromEnvelope(found as unknown as Envelope, elsewhere);
    if ("KafkaBatchInfo" in found) return fromLambda(found as unknown as LambdaBatch);
  }
  return fromConnectors(found);
}

async function fromLetter({ record, reference, error }: DeadLetter, { large }: Elsewhere): Promise<FailedRecords> {
  const whole = reference
    ? (JSON.parse(Buffer.from(await large.get(reference.key)).toString("utf8")) as ConnectorRecord)
    : record;
  return { error, records: [topicRecord(whole)], ranges: [] };
}

/** A batch that could not be delivered, from where millrace brings records itself. */
interface FailedBatch {
  readonly event: WireConsumed | RecordsReference;
  readonly error: ErrorRecord;
}

function fromBatch({ event, error }: FailedBatch): FailedRecords {
  const { stream: topic } = event;
  return "records" in event
    ? { error, records: event.records.map((record) => ({ topic, record: recordFromWire(record) })), ranges: [] }
    : { error, records: [], ranges: event.ranges.map((range) => ({ topic, ...range })) };
}

/** A run that failed: its payload is a batch, and lies with the run where it is large. */
async function fromEnvelope({ requestPayload, task }: Envelope, { runs }: Elsewhere): Promise<FailedRecords> {
  const { error = { kind: "failed" as const, message: "" } } = task;
  const payload =
    typeof requestPayload === "string" ? JSON.parse(requestPayload) : (await runs?.audit(task.id))?.payload;
  if (payload === undefined) throw new MillraceError("not-found", `run "${task.id}" is gone, and its batch with it`);
  return { error, records: (payload as readonly ConnectorRecord[]).map(topicRecord), ranges: [] };
}

/**
 * A batch that Lambda has given up: which records they were, by `<topic>-<partition>`. They themselves are not told.
 *
 * @see https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html
 */
interface LambdaBatch {
  readonly requestContext?: { readonly condition?: string };
  readonly KafkaBatchInfo: {
    readonly recordsInfo: Readonly<
      Record<string, { readonly firstRecordOffset: string; readonly lastRecordOffset: string }>
    >;
  };
}

function fromLambda({ requestContext = {}, KafkaBatchInfo }: LambdaBatch): FailedRecords {
  const { condition = "" } = requestContext;
  const ranges = Object.entries(KafkaBatchInfo.recordsInfo).map(([place, { firstRecordOffset, lastRecordOffset }]) => {
    const end = place.lastIndexOf("-"); // topics have hyphens too
    const [partition, first, last] = [place.slice(end + 1), firstRecordOffset, lastRecordOffset].map(Number);
    return { topic: place.slice(0, end), partition: partition!, first: first!, last: last! };
  });
  if (ranges.length > 0 && ranges.every(isRange)) return { error: failed(condition), records: [], ranges };
  throw new MillraceError("bad-input", "it names no offsets that could be");
}

const isRange = ({ partition, first, last }: TopicRange): boolean =>
  [partition, first, last].every((one) => Number.isSafeInteger(one) && one >= 0) && first <= last;

/**
 * Records that Function Compute's trigger has given up, as it would have brought them; it says no error. One whose value
 * was cut off lies whole in its stream.
 *
 * @see https://www.alibabacloud.com/help/en/eventbridge/user-guide/retry-and-dead-letter
 */
function fromConnectors(found: unknown): FailedRecords {
  const parts = (Array.isArray(found) ? found : [found]).map((part) =>
    kafkaDataOf(typeof part === "string" ? parsed(part) : part),
  );
  const told = parts.flatMap((part) => (part ? [part.data] : []));
  if (told.length === 0 || told.length < parts.length) {
    throw new MillraceError("bad-input", "it is about no records of a stream");
  }
  return {
    error: failed(""),
    records: told.filter(({ overflowFlag }) => !overflowFlag).map(topicRecordOf),
    ranges: told
      .filter(({ overflowFlag }) => overflowFlag)
      .map(({ topic, partition, offset }) => ({ topic, partition, first: offset, last: offset })),
  };
}

const failed = (message: string) => ({ kind: "failed" as const, message });

const topicRecord = (record: ConnectorRecord): TopicRecord => ({
  topic: record.topic,
  record: fromConnector(record),
});

/** JSON, which some senders have in base64. */
function parsed(text: string): unknown {
  const isJson = /^\s*[[{]/.test(text);
  return JSON.parse(isJson ? text : Buffer.from(text, "base64").toString("utf8"));
}
