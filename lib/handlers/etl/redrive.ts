import { type ErrorRecord, MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { BucketReader, Message, NewRecord, QueueReceiver, StreamProducer } from "../../runtime/ports.ts";
import { recordFromWire, type WireConsumed } from "../../runtime/stream-records.ts";
import type { Envelope, PayloadReference } from "../../runtime/tasks/envelope.ts";
import type { DeadLetter } from "./dead-letter.ts";
import { type Evaluate, expressionOf } from "./expression.ts";
import { type ConnectorRecord, decode, fromConnector, toConnector } from "./records.ts";

/** Which dead letters go back; all of what is said has to hold. */
export interface RedriveRequest {
  /** The kind of their error, such as `"unavailable"`. @default any */
  readonly kind?: string;
  /** The partition their record was in. @default any */
  readonly partition?: number;
  /** Offsets of their records, from this one on. @default from the first one */
  readonly from?: number;
  /** Offsets of their records, before this one. @default up to the last one */
  readonly before?: number;
  /** JSONata on the value: parsed where it is JSON, else its text. @default whatever it is */
  readonly where?: string;
  /** Most records that go back. @default all */
  readonly limit?: number;
  /** Only counts. @default false */
  readonly dryRun?: boolean;
}

/** What came of it. */
export interface Redriven {
  /** Records that match. */
  readonly matched: number;
  /** Records that went back into the stream; none in a dry run. */
  readonly redriven: number;
  /** Messages that were looked at and stay: they do not match, or are none of the pipeline's. */
  readonly left: number;
}

export interface RedriveLinks {
  readonly deadLetters: QueueReceiver;
  readonly source: StreamProducer;
  /** Where records lie that are too large for a message. */
  readonly large: BucketReader;
}

/** A batch that could not be delivered, as failure queues get it. */
interface FailedBatch {
  readonly event: Pick<WireConsumed, "stream"> & Partial<Pick<WireConsumed, "records">>;
  readonly error: ErrorRecord;
}

/** Messages received at once. */
const PAGE = 10;

/**
 * Sends dead letters back into the stream they came of. A letter is taken out of its queue once its record is in the
 * stream: who is killed in between leaves one that goes back twice.
 */
export const handler: Handler<FunctionInvoked<RedriveRequest>, RedriveLinks, unknown, Redriven> = async (
  { payload },
  { links, run, signal, log },
) => {
  const request = checked(payload);
  const { deadLetters, source, large } = links;
  const holds = await matcherOf(request);
  const kept = new Map<string, Message>();
  let [matched, redriven] = [0, 0];
  try {
    while (matched < (request.limit ?? Infinity)) {
      signal.throwIfAborted();
      const messages = await deadLetters.receive({ limit: Math.min(PAGE, (request.limit ?? Infinity) - matched) });
      // What was seen before and comes again says that nothing new is there.
      const fresh = messages.filter(({ id }) => !kept.has(id));
      for (const message of messages) {
        if (kept.has(message.id)) {
          kept.set(message.id, message);
          continue;
        }
        const records = await recordsOf(message, holds, large, log.warn);
        if (records.length === 0 || request.dryRun) kept.set(message.id, message);
        matched += records.length;
        if (records.length === 0 || request.dryRun) continue;
        await source.send(records);
        await deadLetters.acknowledge(message.receipt);
        redriven += records.length;
        run.progress(0.5, `${redriven} sent back`);
      }
      if (fresh.length === 0) break;
    }
  } finally {
    // Whoever else looks for them finds them at once.
    await Promise.allSettled([...kept.values()].map(({ receipt }) => deadLetters.extend(receipt, 0)));
  }
  return { matched, redriven, left: kept.size };
};

type Holds = (letter: Pick<DeadLetter, "error">, record: ConnectorRecord) => boolean | Promise<boolean>;

async function matcherOf({ kind, partition, from = 0, before = Infinity, where }: RedriveRequest): Promise<Holds> {
  const evaluate: Evaluate | undefined = where === undefined ? undefined : await expressionOf(`$boolean(${where})`);
  return async ({ error }, record) => {
    if (kind !== undefined && error.kind !== kind) return false;
    if (partition !== undefined && record.partition !== partition) return false;
    if (record.offset < from || record.offset >= before) return false;
    if (!evaluate) return true;
    try {
      return (await evaluate(readable(record))) === true;
    } catch {
      return false;
    }
  };
}

/** A record whose value is told by what it is. */
function readable(given: ConnectorRecord) {
  const record = fromConnector(given);
  try {
    return decode(given.topic, record, "json");
  } catch {
    return { ...decode(given.topic, { ...record, value: new Uint8Array() }, "text"), value: given.value };
  }
}

/** The records of a message that match; none if it is no letter, or one whose record does not match. */
async function recordsOf(
  { id, body }: Message,
  holds: Holds,
  large: BucketReader,
  warn: (message: string, fields: Readonly<Record<string, unknown>>) => void,
): Promise<readonly NewRecord[]> {
  try {
    const records: NewRecord[] = [];
    for (const { letter, record } of await lettersOf(JSON.parse(body) as DeadLetter | Envelope | FailedBatch, large)) {
      // The records of a run go back together: they are one message.
      if (!(await holds(letter, record))) return [];
      records.push(backOf(record));
    }
    return records;
  } catch (error) {
    warn(`message ${id} is left where it is`, { error, body: body.slice(0, 200) });
    return [];
  }
}

/** What lies in the queue: a letter, the envelope of a run, or a batch that the platform has given up. */
async function lettersOf(
  found: DeadLetter | Envelope | FailedBatch,
  large: BucketReader,
): Promise<readonly { readonly letter: Pick<DeadLetter, "error">; readonly record: ConnectorRecord }[]> {
  if ("record" in found) {
    const { record, reference } = found;
    return [{ letter: found, record: reference ? await resolved<ConnectorRecord>(reference, large) : record }];
  }
  if ("event" in found) {
    const { event, error } = found;
    if (!event.records) throw new MillraceError("refused", "the records of the batch are too large for the message");
    const { stream, records } = event;
    return records.map((record) => ({ letter: { error }, record: toConnector(stream, recordFromWire(record)) }));
  }
  const { requestPayload, task } = found;
  if (typeof requestPayload !== "string") {
    throw new MillraceError("refused", `the records lie with run "${task.id}": retry it`);
  }
  const { error = { kind: "failed" as const, message: "" } } = task;
  return (JSON.parse(requestPayload) as ConnectorRecord[]).map((record) => ({ letter: { error }, record }));
}

async function resolved<Value>({ key }: PayloadReference, large: BucketReader): Promise<Value> {
  return JSON.parse(Buffer.from(await large.get(key)).toString("utf8")) as Value;
}

function backOf(given: ConnectorRecord): NewRecord {
  const { key, value, headers, timestamp } = fromConnector(given);
  return { headers, timestamp, ...(key && { key }), ...(value && { value }) };
}

/** @throws `bad-input` with what is wanted */
function checked(payload: unknown): RedriveRequest {
  const request = (payload ?? {}) as Record<string, unknown>;
  const wrong = Object.entries(request).find(([name, value]) => {
    const wanted = FIELDS[name as keyof RedriveRequest];
    return wanted === undefined || (value !== undefined && typeof value !== wanted);
  });
  if (typeof payload !== "object" || wrong) {
    const fields = Object.entries(FIELDS).map(([name, type]) => `${name}: ${type}`);
    throw new MillraceError(
      "bad-input",
      `{ ${fields.join(", ")} } are wanted, each if you like, got ${String(JSON.stringify(payload)).slice(0, 200)}`,
    );
  }
  return request;
}

const FIELDS = {
  kind: "string",
  partition: "number",
  from: "number",
  before: "number",
  where: "string",
  limit: "number",
  dryRun: "boolean",
} as const satisfies Readonly<Record<keyof RedriveRequest, string>>;
