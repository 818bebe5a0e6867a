import type { TopicRecord } from "../../runtime/consumed.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked, StreamRecord } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { Message, NewRecord, QueueReceiver, StreamProducer, StreamReader } from "../../runtime/ports.ts";
import { type Evaluate, expressionOf } from "./expression.ts";
import { type Elsewhere, type FailedRecords, failedIn, type TopicRange } from "./failed-records.ts";
import { decode, toText } from "./records.ts";
import { isOutside } from "./tries.ts";

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
  /** Messages that were looked at and stay: they do not match, are none of the pipeline's, or all their records are gone. */
  readonly left: number;
  /** Records, at most, that a message only refers to, and that the stream does not keep any more. */
  readonly gone: number;
}

export interface RedriveLinks extends Elsewhere {
  readonly deadLetters: QueueReceiver;
  readonly source: StreamProducer & StreamReader;
}

/** Messages received at once. */
const PAGE = 10;

/**
 * Sends dead letters back into the stream they came of. A letter is taken out of its queue once its records are in the
 * stream: who is killed in between leaves one that goes back twice. A batch that was given up goes back whole, with
 * what was delivered of it before; where the message says no more than its offsets, its records are read from the stream.
 */
export const handler: Handler<FunctionInvoked<RedriveRequest>, RedriveLinks, unknown, Redriven> = async (
  { payload },
  { links, run, signal, log },
) => {
  const request = checked(payload);
  const { deadLetters, source } = links;
  const holds = await matcherOf(request);
  const kept = new Map<string, Message>();
  let [matched, redriven, gone] = [0, 0, 0];
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
        const found = await lookInto(message, links, holds).catch((error: unknown) => {
          // It may be there next time: it is not for the message to say.
          if (isOutside(error)) throw error;
          log.warn(`message ${message.id} is left where it is`, { error, body: message.body.slice(0, 200) });
          return NOTHING;
        });
        matched += found.matched;
        gone += found.gone;
        if (found.gone > 0) log.warn(`message ${message.id}: ${found.gone} of its records are gone from the stream`);
        if (found.matched === 0 || request.dryRun) {
          kept.set(message.id, message);
          continue;
        }
        for await (const records of recordsOf(found.failed!, source)) await source.send(records.map(backOf));
        await deadLetters.acknowledge(message.receipt);
        redriven += found.matched;
        run.progress(0.5, `${redriven} sent back`);
      }
      if (fresh.length === 0) break;
    }
  } finally {
    // Whoever else looks for them finds them at once.
    await Promise.allSettled([...kept.values()].map(({ receipt }) => deadLetters.extend(receipt, 0)));
  }
  return { matched, redriven, left: kept.size, gone };
};

/** What a message is about: how many of its records match, and how many are gone. */
interface Found {
  readonly failed?: FailedRecords;
  readonly matched: number;
  readonly gone: number;
}

const NOTHING: Found = { matched: 0, gone: 0 };

/** The records of a message go back together, or none does: it is one message. */
async function lookInto({ body }: Message, links: RedriveLinks, holds: Holds): Promise<Found> {
  const { source } = links;
  const failed = await failedIn(body, links);
  const other = [...failed.records, ...failed.ranges].find(
    ({ topic }) => topic !== source.stream && topic !== source.topic,
  );
  if (other) throw new MillraceError("refused", `it is about stream ${other.topic}, this is ${source.stream}`);
  let matched = 0;
  for await (const records of recordsOf(failed, source)) {
    for (const record of records) if (!(await holds(failed, record))) return NOTHING;
    matched += records.length;
  }
  const gone = await Promise.all(failed.ranges.map((range) => goneOf(range, source)));
  return { failed, matched, gone: gone.reduce((sum, one) => sum + one, 0) };
}

/** Some at a time: a batch may be large. */
async function* recordsOf(
  { records, ranges }: FailedRecords,
  source: StreamReader,
): AsyncGenerator<readonly TopicRecord[]> {
  if (records.length > 0) yield records;
  for (const { topic, partition, first, last } of ranges) {
    for (let from = first; from <= last; ) {
      const page = await source.read({ partition, from });
      const some = page.records.filter(({ offset }) => offset <= last);
      if (some.length > 0) yield some.map((record) => ({ topic, record }));
      if (page.next <= from) break;
      from = page.next;
    }
  }
}

/** Offsets of a range before those that the stream keeps. */
async function goneOf({ partition, first, last }: TopicRange, source: StreamReader): Promise<number> {
  const { records, next } = await source.read({ partition, limit: 1 });
  return Math.max(0, Math.min(records[0]?.offset ?? next, last + 1) - first);
}

type Holds = (failed: Pick<FailedRecords, "error">, record: TopicRecord) => boolean | Promise<boolean>;

async function matcherOf({ kind, partition, from = 0, before = Infinity, where }: RedriveRequest): Promise<Holds> {
  const evaluate: Evaluate | undefined = where === undefined ? undefined : await expressionOf(`$boolean(${where})`);
  return async ({ error }, { topic, record }) => {
    if (kind !== undefined && error.kind !== kind) return false;
    if (partition !== undefined && record.partition !== partition) return false;
    if (record.offset < from || record.offset >= before) return false;
    if (!evaluate) return true;
    try {
      return (await evaluate(readable(topic, record))) === true;
    } catch {
      return false;
    }
  };
}

/** A record whose value is told by what it is. */
function readable(topic: string, record: StreamRecord) {
  try {
    return decode(topic, record, "json");
  } catch {
    const { value = new Uint8Array() } = record;
    return { ...decode(topic, { ...record, value: new Uint8Array() }, "text"), value: toText(value).text };
  }
}

const backOf = ({ record: { key, value, headers, timestamp } }: TopicRecord): NewRecord => ({
  ...{ headers, timestamp },
  ...(key && { key }),
  ...(value && { value }),
});

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
