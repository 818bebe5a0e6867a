import { MillraceError } from "../../runtime/errors.ts";
import type { RecordFormat } from "../../shared/mapreduce/format.ts";
import { CsvFramer, type CsvState, csvRecord } from "./csv.ts";
import type { Batch, Framer } from "./records.ts";

/** How records of a kind are cut, read and found again. */
export interface Format {
  /** @param state in which a piece of CSV begins. @default at the start of a record */
  framer(state?: CsvState): Framer;
  /** The batch's records, each still to be read. */
  raws(batch: Batch): Iterable<unknown>;
  /** @throws `bad-input` if it is none; answers `undefined` for what is no record, such as an empty line of JSON */
  read(raw: unknown): unknown;
  /** Where the batch's record of that number begins in the object. */
  offsetOf(batch: Batch, index: number): number;
}

/** What is read record by record. */
export type TextFormat = Exclude<RecordFormat, "parquet">;

/**
 * @param columns of CSV without its own: those of the object's first record
 */
export function formatOf(format: TextFormat, columns: readonly string[] = []): Format {
  if (format === "lines") return { ...LINES, read: (raw) => raw };
  if (format === "jsonl") return { ...LINES, read: jsonValue };
  const { delimiter = ",", quotedNewlines = true, columns: given } = format.csv;
  const read = (raw: unknown) => csvObject(raw as readonly string[], given ?? columns);
  const withoutHeader = (batch: Batch, records: Iterable<readonly string[]>) =>
    given === undefined && batch.offset === 0 ? butFirst(records) : records;
  if (!quotedNewlines) return { ...LINES, raws: (batch) => withoutHeader(batch, csvLines(batch, delimiter)), read };
  return {
    framer: (state) => new CsvFramer(delimiter, state),
    raws: (batch) => withoutHeader(batch, csvRecords(batch, delimiter)),
    read,
    offsetOf: (batch, index) => csvOffset(batch, index, delimiter),
  };
}

const NEWLINE = 0x0a;

const LINES: Omit<Format, "read"> = {
  framer: () => ({
    startsRecord: undefined,
    first: (bytes) => bytes.indexOf(NEWLINE) + 1,
    last: (bytes) => bytes.lastIndexOf(NEWLINE) + 1,
  }),
  raws: lines,
  offsetOf({ offset, bytes }, index) {
    let at = 0;
    for (let line = 0; line < index; line += 1) at = bytes.indexOf(NEWLINE, at) + 1;
    return offset + at;
  },
};

/** Some programs begin a file so; it is no part of the first record. */
const BYTE_ORDER_MARK = "\uFEFF";

function textOf({ offset, bytes }: Batch): string {
  const text = bytes.toString("utf8");
  return offset === 0 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
}

function* lines(batch: Batch): Generator<string, void> {
  const text = textOf(batch);
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf("\n", at);
    const end = newline === -1 ? text.length : newline;
    yield text.slice(at, end > at && text.charCodeAt(end - 1) === 0x0d ? end - 1 : end);
    at = end + 1;
  }
}

/** Records begin with what is no blank, nearly all of them. */
const jsonValue = (raw: unknown): unknown =>
  !((raw as string).charCodeAt(0) > 0x20) && (raw as string).trim() === "" ? undefined : JSON.parse(raw as string);

function* csvRecords(batch: Batch, delimiter: string): Generator<readonly string[], void> {
  const text = batch.bytes.toString("utf8");
  for (let at = 0; at < text.length; ) {
    const { fields, next } = csvRecord(text, at, delimiter);
    yield fields;
    at = next;
  }
}

function* csvLines(batch: Batch, delimiter: string): Generator<readonly string[], void> {
  for (const line of lines(batch)) yield csvRecord(line, 0, delimiter).fields;
}

/** The first one is as if its line were empty: it keeps its number. */
function* butFirst(records: Iterable<readonly string[]>): Generator<readonly string[], void> {
  let isFirst = true;
  for (const fields of records) {
    yield isFirst ? [] : fields;
    isFirst = false;
  }
}

function csvObject(fields: readonly string[], columns: readonly string[]): unknown {
  if (fields.length === 0) return undefined;
  if (fields.length !== columns.length) {
    throw new MillraceError("bad-input", `${columns.length} columns are wanted, there are ${fields.length}`);
  }
  return Object.fromEntries(columns.map((column, index) => [column, fields[index]]));
}

function csvOffset({ offset, bytes }: Batch, index: number, delimiter: string): number {
  const framer = new CsvFramer(delimiter);
  let at = 0;
  for (let record = 0; record < index; record += 1) at += framer.first(bytes.subarray(at));
  return offset + at;
}

/** The names in the first record of a CSV object. */
export const csvColumns = (batch: Batch, delimiter: string): readonly string[] =>
  csvRecord(batch.bytes.toString("utf8"), 0, delimiter).fields;
