import { type ErrorKind, MillraceError } from "../../runtime/errors.ts";
import type { Format } from "./formats.ts";
import type { Batch } from "./records.ts";
import {
  type Mapper,
  type MapperModule,
  type MapperProgram,
  PROGRAM_BATCH,
  PROGRAM_MOST,
  type UserContext,
} from "./user-code.ts";

/** A record that nothing could be made of. */
export interface BadRecord {
  readonly object: string;
  /** Of its first byte; in what the object holds, where it is compressed. */
  readonly offset: number;
  readonly message: string;
}

export interface Taker {
  /** A key with a value. */
  readonly pair: (key: string, value: unknown) => void;
  /** @throws when it is one too many */
  readonly bad: (record: BadRecord) => void;
  readonly record: () => void;
  /** Whether what was taken is to be written before more is. */
  readonly isFull: () => boolean;
}

/** Gives a batch's records to the user's mapper; pauses whenever there is enough to be written. */
export type BatchMapper = (
  batch: Batch,
  format: Format,
  context: UserContext,
  taker: Taker,
) => AsyncGenerator<void, void>;

export const batchMapper = (mapper: MapperModule | MapperProgram): BatchMapper =>
  typeof mapper === "function" ? programMapper(mapper) : moduleMapper(mapper.mapper);

type Pair = readonly [key: string, value: unknown];

/** What comes from outside the record is no fault of it: the attempt fails. */
const OUTSIDE: readonly ErrorKind[] = ["unavailable", "interrupted", "timed-out", "stopped", "expired"];

const isOutside = (error: unknown): boolean => error instanceof MillraceError && OUTSIDE.includes(error.kind);

const moduleMapper = (mapper: Mapper): BatchMapper =>
  async function* (batch, format, context, taker) {
    let index = -1;
    for (const raw of format.raws(batch)) {
      index += 1;
      let pairs: readonly Pair[];
      try {
        const record = format.read(raw);
        if (record === undefined) continue;
        // All of them or none: a mapper may throw after its first pair.
        pairs = checked(mapper(record as never, context));
      } catch (error) {
        if (isOutside(error)) throw error;
        taker.bad(toBad(batch, format, context, index, error));
        continue;
      }
      taker.record();
      for (const [key, value] of pairs) taker.pair(key, value);
      if (taker.isFull()) yield;
    }
  };

function checked(given: Iterable<Pair>): readonly Pair[] {
  const pairs = Array.isArray(given) ? (given as readonly Pair[]) : [...given];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || !isJson(pair[1])) {
      throw new MillraceError("bad-input", `a mapper yields [key, value], the key a text, got ${preview(pair)}`);
    }
  }
  return pairs;
}

const isJson = (value: unknown): boolean =>
  value !== undefined && typeof value !== "function" && typeof value !== "symbol" && typeof value !== "bigint";

const preview = (value: unknown): string => String(JSON.stringify(value)).slice(0, 200);

function toBad(batch: Batch, format: Format, { object }: UserContext, index: number, error: unknown): BadRecord {
  const message = error instanceof Error ? error.message : String(error);
  return { object, offset: format.offsetOf(batch, index), message: message.slice(0, 1000) };
}

type Numbered = readonly [index: number, record: unknown];

const programMapper = (program: MapperProgram): BatchMapper =>
  async function* (batch, format, context, taker) {
    const bad = (index: number, error: unknown) => taker.bad(toBad(batch, format, context, index, error));
    for (const records of programBatches(batch, format, bad)) {
      await mapRecords(program, records, taker, bad);
      if (taker.isFull()) yield;
    }
  };

/** Records together up to a size that every platform takes in one call. */
function* programBatches(
  batch: Batch,
  format: Format,
  bad: (index: number, error: unknown) => void,
): Generator<readonly Numbered[], void> {
  let [records, size, index]: [Numbered[], number, number] = [[], 0, -1];
  for (const raw of format.raws(batch)) {
    index += 1;
    try {
      const record = format.read(raw);
      if (record === undefined) continue;
      const length = JSON.stringify(record).length;
      if (length > PROGRAM_MOST)
        throw new Error(`a program takes records up to ${PROGRAM_MOST} characters, it has ${length}`);
      records.push([index, record]);
      size += length;
    } catch (error) {
      bad(index, error);
    }
    if (size < PROGRAM_BATCH) continue;
    yield records;
    [records, size] = [[], 0];
  }
  if (records.length > 0) yield records;
}

/** When many fail, each half is tried, until the one that is to blame is alone. */
async function mapRecords(
  program: MapperProgram,
  records: readonly Numbered[],
  taker: Taker,
  bad: (index: number, error: unknown) => void,
): Promise<void> {
  let pairs: readonly Pair[];
  try {
    pairs = checked((await program(records.map(([, record]) => record))) as Iterable<Pair>);
  } catch (error) {
    if (isOutside(error)) throw error;
    if (records.length === 1) return bad(records[0]![0], error);
    const middle = records.length >> 1;
    await mapRecords(program, records.slice(0, middle), taker, bad);
    return mapRecords(program, records.slice(middle), taker, bad);
  }
  for (const _ of records) taker.record();
  for (const [key, value] of pairs) taker.pair(key, value);
}
