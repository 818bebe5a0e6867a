import { type ErrorRecord, MillraceError, toErrorRecord } from "../../runtime/errors.ts";
import type { StreamRecord } from "../../runtime/events.ts";
import type { Context } from "../../runtime/handler.ts";
import { readyOperator } from "./ready.ts";
import { decode, type EtlRecord } from "./records.ts";
import { type EtlSettings, userLinks } from "./settings.ts";
import { isOutside, type Tries, tried } from "./tries.ts";
import type {
  BatchOperator,
  Operator,
  OperatorContext,
  OperatorModule,
  OperatorProgram,
  Schema,
  SchemaError,
} from "./user-code.ts";

/** The user's code, by the names that the settings call it. */
export type EtlCode = Readonly<Record<string, OperatorModule | OperatorProgram>>;

/** What a record came to: values, or why nothing comes of it. */
export interface Processed {
  readonly record: StreamRecord;
  readonly values: readonly unknown[];
  readonly failure?: RecordFailure;
}

export interface RecordFailure {
  readonly error: ErrorRecord;
  /** Which step: `format`, the operator's place in the chain from 1 on, `key`, or `to`. */
  readonly operator: string;
}

/** All operators, one after the other, on many records at once. */
export type Chain = (stream: string, records: readonly StreamRecord[]) => Promise<readonly Processed[]>;

type ChainWorld = Pick<
  Context<object, EtlSettings, EtlCode>,
  "links" | "settings" | "code" | "log" | "clock" | "signal"
>;

/** A value on its way through the chain, and which record it came of. */
interface Item {
  readonly index: number;
  readonly record: EtlRecord;
  /** About how long its value is as JSON, while it is as it came; else it has to be looked at. */
  readonly size?: number;
}

type Fail = (index: number, error: unknown) => void;
type Step = (items: readonly Item[], fail: Fail) => Promise<readonly Item[]>;

/** @throws `bad-input` if there is no such chain: nothing is wrong with the records */
export async function chainOf(world: ChainWorld): Promise<Chain> {
  const { settings, clock, signal } = world;
  const tries: Tries = { tries: settings.tries, clock, signal };
  const steps = await Promise.all(settings.operators.map((_, index) => stepOf(world, index, tries)));
  return async (stream, records) => {
    const failures = new Map<number, RecordFailure>();
    const failAt = (operator: string) => (index: number, error: unknown) => {
      if (failures.has(index)) return;
      const { kind, message } = toErrorRecord(error);
      failures.set(index, { error: { kind, message: message.slice(0, MOST_MESSAGE) }, operator });
    };
    let items = decoded(stream, records, settings, failAt("format"));
    for (const [index, step] of steps.entries()) {
      signal.throwIfAborted();
      const made = await step(items, failAt(String(index + 1)));
      // All that comes of a record, or nothing.
      items = failures.size === 0 ? made : made.filter((item) => !failures.has(item.index));
    }
    return gathered(records, items, failures);
  };
}

/** Characters of an error that a dead letter has. */
const MOST_MESSAGE = 1000;

function decoded(stream: string, records: readonly StreamRecord[], { format }: EtlSettings, fail: Fail) {
  const items: Item[] = [];
  for (const [index, record] of records.entries()) {
    try {
      const size = format === "json" ? { size: record.value?.byteLength ?? 4 } : {};
      items.push({ index, record: decode(stream, record, format), ...size });
    } catch (error) {
      fail(index, error);
    }
  }
  return items as readonly Item[];
}

function gathered(
  records: readonly StreamRecord[],
  items: readonly Item[],
  failures: ReadonlyMap<number, RecordFailure>,
): readonly Processed[] {
  const values: unknown[][] = records.map(() => []);
  for (const { index, record } of items) values[index]!.push(record.value);
  return records.map((record, index) => {
    const failure = failures.get(index);
    return { record, values: values[index]!, ...(failure && { failure }) };
  });
}

async function stepOf(world: ChainWorld, index: number, tries: Tries): Promise<Step> {
  const { settings, code, links, log, signal } = world;
  const given = settings.operators[index]!;
  const context = { links: userLinks(links), settings: settings.user, log, signal } as OperatorContext<never>;
  if ("ready" in given) return eachStep(await readyOperator(given, index, { ...tries, links }), context, tries);
  const found = code[given.code]!;
  if (typeof found === "function") return programStep(found, tries);
  const { operator, batch, schema } = found;
  if (operator) return eachStep(operator, context, tries, schema);
  if (batch) return batchStep(batch, context, tries, schema);
  throw new MillraceError("bad-input", `operators[${index}]: the file exports neither "operator" nor "batch"`);
}

/** Calls of an operator that waits for something, at once. */
const AT_ONCE = 16;

/** An operator on one record: a turn of the event loop only where it takes one itself. */
function eachStep(
  operator: Operator,
  context: OperatorContext<never>,
  tries: Tries,
  schema: Schema | undefined = undefined,
): Step {
  const call = (item: Item): unknown => operator(parsed(item.record, schema) as never, context);
  return async (items, fail) => {
    const answers: unknown[] = [];
    let waiting: Promise<void>[] = [];
    const wait = async (at: number, first: unknown): Promise<void> => {
      const item = items[at]!;
      let isFirst = true;
      const work = async () => {
        const answer = isFirst ? first : call(item);
        isFirst = false;
        return listed(await answer);
      };
      try {
        answers[at] = await tried(tries, work);
      } catch (error) {
        if (isOutside(error)) throw error;
        fail(item.index, error);
      }
    };
    for (const [at, item] of items.entries()) {
      let answer: unknown;
      try {
        answer = call(item);
        if (!isPending(answer)) {
          answers[at] = listed(answer);
          continue;
        }
      } catch (error) {
        if (!isUnavailable(error)) {
          if (isOutside(error)) throw error;
          fail(item.index, error);
          continue;
        }
        answer = Promise.reject(error);
      }
      waiting.push(wait(at, answer));
      if (waiting.length < AT_ONCE) continue;
      await settled(waiting);
      waiting = [];
    }
    await settled(waiting);
    return spread(items, answers);
  };
}

const isUnavailable = (error: unknown): boolean => error instanceof MillraceError && error.kind === "unavailable";

/** Waits for all, however one of them ends. */
async function settled(waiting: readonly Promise<void>[]): Promise<void> {
  if (waiting.length === 0) return;
  const ends = await Promise.allSettled(waiting);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

const isPending = (answer: unknown): answer is PromiseLike<unknown> | AsyncIterable<unknown> =>
  typeof answer === "object" && answer !== null && ("then" in answer || Symbol.asyncIterator in answer);

/** What one answer comes to. */
function listed(answer: unknown): readonly unknown[] | Promise<readonly unknown[]> {
  if (answer === undefined) return NOTHING;
  if (Array.isArray(answer)) return answer;
  if (typeof answer === "object" && answer !== null) {
    if (Symbol.asyncIterator in answer) return collected(answer as AsyncIterable<unknown>);
    // A generator, and not a text, a Map or whatever else can be gone through.
    if (Symbol.iterator in answer && "next" in answer) return [...(answer as Iterable<unknown>)];
  }
  return [answer];
}

const NOTHING: readonly unknown[] = [];

async function collected(values: AsyncIterable<unknown>): Promise<readonly unknown[]> {
  const list: unknown[] = [];
  for await (const value of values) list.push(value);
  return list;
}

function parsed(record: EtlRecord, schema: Schema | undefined): EtlRecord {
  if (!schema) return record;
  const result = schema.safeParse(record.value);
  if (!result.success)
    throw new MillraceError("bad-input", `the value is not as its schema says: ${inWords(result.error)}`);
  return result.data === record.value ? record : { ...record, value: result.data };
}

/** `items.0.price: expected number, received string; …`; zod's own message is a list in JSON over many lines. */
const inWords = ({ message, issues = [] }: SchemaError): string =>
  issues.length === 0
    ? message
    : issues.map((issue) => [issue.path.map(String).join("."), issue.message].filter(Boolean).join(": ")).join("; ");

/** Answers by item; a failed one has none. */
function spread(items: readonly Item[], answers: readonly unknown[]): readonly Item[] {
  const made: Item[] = [];
  for (const [at, { index, record }] of items.entries()) {
    for (const value of (answers[at] ?? NOTHING) as readonly unknown[]) {
      if (value !== undefined) made.push({ index, record: { ...record, value } });
    }
  }
  return made;
}

/** The user's function on all records that are as its schema wants. */
function batchStep(
  batch: BatchOperator,
  context: OperatorContext<never>,
  tries: Tries,
  schema: Schema | undefined,
): Step {
  return async (items, fail) => {
    const good: Item[] = [];
    for (const { index, record } of items) {
      try {
        good.push({ index, record: parsed(record, schema) });
      } catch (error) {
        fail(index, error);
      }
    }
    const call = async (some: readonly Item[]) => {
      const answers = await batch(some.map(({ record }) => record) as never, context);
      return Promise.all(checkedAnswers(answers, some.length).map(listed));
    };
    return spread(good, await bisected(call, good, tries, fail));
  };
}

/** What a program takes in one call, in characters of its JSON: platforms take up to 6 MB. */
const PROGRAM_BATCH = 2 ** 20;
const PROGRAM_MOST = 4 * 2 ** 20;

function programStep(program: OperatorProgram, tries: Tries): Step {
  const call = async (some: readonly Item[]) => {
    const answers = await program(some.map(({ record }) => wire(record)));
    // JSON of elsewhere has no other word for nothing.
    return checkedAnswers(answers, some.length).map((answer) => (answer === null ? NOTHING : listed(answer)));
  };
  return async (items, fail) => {
    const made: Item[] = [];
    for (const some of portions(items, fail)) made.push(...spread(some, await bisected(call, some, tries, fail)));
    return made;
  };
}

/** A record as JSON has it: bytes are base64. */
const wire = (record: EtlRecord): EtlRecord =>
  record.value instanceof Uint8Array ? { ...record, value: Buffer.from(record.value).toString("base64") } : record;

function* portions(items: readonly Item[], fail: Fail): Generator<readonly Item[], void> {
  let [some, size]: [Item[], number] = [[], 0];
  for (const item of items) {
    const length = item.size ?? (JSON.stringify(wire(item.record).value) ?? "").length;
    if (length > PROGRAM_MOST) {
      fail(item.index, new MillraceError("refused", `a program takes records up to ${PROGRAM_MOST} characters`));
      continue;
    }
    if (size + length > PROGRAM_BATCH && some.length > 0) {
      yield some;
      [some, size] = [[], 0];
    }
    some.push(item);
    size += length;
  }
  if (some.length > 0) yield some;
}

function checkedAnswers(answers: unknown, count: number): readonly unknown[] {
  if (Array.isArray(answers) && answers.length === count) return answers;
  const got = Array.isArray(answers) ? `${answers.length} answers` : typeof answers;
  throw new MillraceError("failed", `an answer for each of ${count} records is wanted, got ${got}`);
}

/** When many fail, each half is tried, until the one that is to blame is alone. */
async function bisected(
  call: (items: readonly Item[]) => Promise<readonly unknown[]>,
  items: readonly Item[],
  tries: Tries,
  fail: Fail,
): Promise<readonly unknown[]> {
  if (items.length === 0) return [];
  try {
    return await tried(tries, () => call(items));
  } catch (error) {
    if (isOutside(error)) throw error;
    if (items.length === 1) {
      fail(items[0]!.index, error);
      return [NOTHING];
    }
    const middle = items.length >> 1;
    const first = await bisected(call, items.slice(0, middle), tries, fail);
    return [...first, ...(await bisected(call, items.slice(middle), tries, fail))];
  }
}
