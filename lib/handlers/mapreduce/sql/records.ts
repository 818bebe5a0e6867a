import { rmSync } from "node:fs";
import { join } from "node:path";
import { MillraceError } from "../../../runtime/errors.ts";
import type { BucketReader } from "../../../runtime/ports.ts";
import type { RecordFormat } from "../../../shared/mapreduce/format.ts";
import type { Columns } from "../../../shared/mapreduce/sql.ts";
import { CsvFramer } from "../csv.ts";
import type { TextFormat } from "../formats.ts";
import { type Counted, countBad } from "../map.ts";
import { footerWith, readFooter, spansOf } from "../parquet.ts";
import { csvOf, type Reading, type ReadingLinks, readingOf } from "../reading.ts";
import {
  type Batch,
  type Borders,
  batches,
  isCompressed,
  type Piece,
  pinned,
  rawRecords,
  unchanged,
} from "../records.ts";
import { type Duck, DuckError, textOf } from "./duck.ts";
import { jsonReader, readerOf, type Table, TableFile } from "./tables.ts";

/** What a shard's records are made tables of. */
export interface RecordSource {
  readonly run: string;
  readonly pieces: readonly Piece[];
  readonly format: RecordFormat;
  readonly columns: Columns;
  readonly links: ReadingLinks;
  readonly signal: AbortSignal;
}

/** A query that reads records. */
export interface RecordsQuery {
  readonly query: string;
  /** How many tables it goes through. */
  readonly tables: number;
  /** Of Parquet, which says so itself, and of which DuckDB leaves out what a query does not ask for. */
  readonly records?: number;
}

/** Objects of which nothing is to be left out, by the number of their piece: DuckDB reads them where they lie. */
export type WholeFiles = ReadonlyMap<number, string>;

/** @throws `bad-input` if an object is another one by now */
export async function wholeFiles(
  input: Pick<BucketReader, "get" | "file">,
  { pieces, format }: Pick<RecordSource, "pieces" | "format">,
): Promise<WholeFiles> {
  const files = new Map<number, string>();
  // The names of columns are left out of CSV, and lines are looked at: those that DuckDB ends elsewhere.
  const isLeftAsItIs = format === "jsonl" || csvOf(format)?.columns !== undefined;
  for (const [index, { key, etag, from, to, size }] of isLeftAsItIs ? pieces.entries() : []) {
    if (from > 0 || to < size || isCompressed(key)) continue;
    const range = [0, Math.min(2, size - 1)] as const;
    const start = await unchanged(key, () => input.get(key, { range, ifMatch: etag }));
    if (BYTE_ORDER_MARK.equals(start)) continue;
    const file = await unchanged(key, () => input.file(key, { ifMatch: etag }));
    // It would be taken for a pattern of names.
    if (!/[*?[]/.test(file)) files.set(index, file);
  }
  return files;
}

/** The shard's records as they are, in files that DuckDB reads. */
export async function rawTables(
  duck: Duck,
  source: RecordSource,
  whole: WholeFiles = new Map(),
): Promise<RecordsQuery> {
  const { format, columns } = source;
  if (format === "parquet") return groupTables(duck, source);
  const files = new Map<string, { readonly file: TableFile; readonly table: Table }>();
  let hasReturns = false;
  try {
    for (const [index, piece] of source.pieces.entries()) {
      if (whole.has(index)) continue;
      const reading = await readingOf(source.run, piece, format, source.links, source.signal);
      // Objects with the same columns in the same order make one table.
      const key = JSON.stringify(reading.columns ?? []);
      const name = `records-${files.size}`;
      const found = files.get(key) ?? { file: new TableFile(duck, name), table: tableOf(duck.file(name), reading) };
      files.set(key, found);
      for await (const bytes of bytesOf(piece, reading, source)) {
        hasReturns ||= format === "lines" && bytes.includes(CARRIAGE_RETURN);
        found.file.write(bytes);
      }
      found.file.endRecord();
    }
  } finally {
    for (const { file } of files.values()) file.close();
  }
  // To DuckDB a line ends there as well, and it wants all lines to end in the same way.
  if (hasReturns) return plainTable(duck, source, { records: 0, skipped: 0, bad: [] }, 0);
  const asTheyAre = [...whole.values()].map((file) => tableOf(textOf(file), csvOf(format) ?? {}));
  const tables = [...asTheyAre, ...[...files.values()].map(({ table }) => table)];
  return { query: readerOf(tables, format, columns), tables: csvOf(format) ? tables.length : 1 };
}

const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.from("\uFEFF");

const tableOf = (file: string, { columns }: Pick<Reading, "columns">): Table => ({ file, ...(columns && { columns }) });

/**
 * Row groups of Parquet: files in which only they are, where they are in the whole ones. What is left out takes no room
 * on the disk.
 */
async function groupTables(duck: Duck, { pieces, links, signal }: RecordSource): Promise<RecordsQuery> {
  const tables = [];
  let records = 0;
  for (const [index, piece] of pieces.entries()) {
    const object = pinned(links.input, piece, { signal });
    const footer = await readFooter(piece, object.get);
    const [first, end] = piece.groups!;
    const file = new TableFile(duck, `groups-${index}`);
    try {
      for (const [from, to] of spansOf(footer, first, end)) {
        for (let at = from; at < to; at += object.block) {
          file.writeAt(await object.get(at, Math.min(at + object.block, to)), at);
        }
      }
      file.writeAt(footerWith(footer, first, end), footer.start);
    } finally {
      file.close();
    }
    tables.push({ file: duck.file(file.name) });
    records += footer.groups.slice(first, end).reduce((sum, { rows }) => sum + rows, 0);
  }
  return { query: readerOf(tables, "parquet", {}), tables: 1, records };
}

/** The bytes of the piece's records, without the names of columns or what else stands before the first one. */
async function* bytesOf(
  piece: Piece,
  reading: Reading,
  { format, links, signal }: RecordSource,
): AsyncGenerator<Buffer, void> {
  const { header } = reading;
  const isCut = !isCompressed(piece.key);
  const isFirst = piece.from === 0;
  const from = isCut && isFirst && header > 0 ? Math.min(header, piece.to) : piece.from;
  const raw = rawRecords(links.input, { ...piece, from }, bordersOf(format, reading, isFirst), { signal });
  let skip = isCut ? 0 : header;
  let isStart = isFirst && header === 0;
  for await (const bytes of raw) {
    const mark = isStart && bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0;
    const left = bytes.subarray(Math.min(bytes.length, skip + mark));
    skip = Math.max(0, skip - bytes.length);
    isStart = false;
    if (left.length > 0) yield left;
  }
}

function bordersOf(format: RecordFormat, { form, state, stateBehind }: Reading, isFirst: boolean): Borders {
  const csv = csvOf(format);
  if (!csv || csv.quotedNewlines === false) return { from: form.framer(), to: form.framer() };
  const framer = (at: typeof state) => new CsvFramer(csv.delimiter ?? ",", at);
  return { from: framer(isFirst ? "record" : state), to: framer(stateBehind) };
}

/** What a query is asked of at once to find the record that is to blame. */
interface Row {
  /** Its number in the batch. */
  readonly index: number;
  readonly json: string;
}

/**
 * The shard's records as JSON lines, read one by one, without those that are bad: what is none, and what has a value
 * that its column cannot hold.
 *
 * @throws when more are bad than may be skipped
 */
export async function plainTable(
  duck: Duck,
  source: RecordSource,
  counted: Counted,
  skips: number,
): Promise<RecordsQuery> {
  const { format } = source;
  if (format === "parquet") throw new TypeError("rows of Parquet are no text");
  const types = new Map(Object.entries(format === "lines" ? { line: "VARCHAR" } : source.columns));
  const file = new TableFile(duck, "plain");
  try {
    for (const piece of source.pieces) {
      const reading = await readingOf(source.run, piece, format, source.links, source.signal);
      for (const column of reading.columns ?? []) if (!types.has(column)) types.set(column, "VARCHAR");
      const { input } = source.links;
      for await (const batch of batches(input, piece, reading.form.framer(reading.state), { signal: source.signal })) {
        const bad = (index: number, error: unknown) => {
          const offset = reading.form.offsetOf(batch, index);
          countBad(counted, { object: piece.key, offset, message: messageOf(error) }, skips);
        };
        const rows = rowsOf(batch, reading, format, bad);
        for (const good of await goodRows(duck, rows, Object.fromEntries(types), bad)) file.write(Buffer.from(good));
      }
    }
  } finally {
    file.close();
  }
  return { query: jsonReader(duck.file(file.name), Object.fromEntries(types)), tables: 1 };
}

const messageOf = (error: unknown): string => String((error as Error).message).slice(0, 1000);

function rowsOf(
  batch: Batch,
  { form }: Reading,
  format: TextFormat,
  bad: (index: number, error: unknown) => void,
): readonly Row[] {
  const rows: Row[] = [];
  let index = -1;
  for (const raw of form.raws(batch)) {
    index += 1;
    try {
      const record = form.read(raw);
      if (record === undefined) continue;
      if (typeof record !== "object" && format !== "lines") {
        throw new MillraceError("bad-input", "a record is an object, to SQL");
      }
      rows.push({ index, json: `${JSON.stringify(plainOf(record, format))}\n` });
    } catch (error) {
      bad(index, error);
    }
  }
  return rows;
}

/** As DuckDB's own readers have it: a field of CSV without anything in it has no value. */
function plainOf(record: unknown, format: TextFormat): unknown {
  if (format === "lines") return { line: record };
  if (!csvOf(format)) return record;
  const fields = Object.entries(record as Readonly<Record<string, string>>);
  return Object.fromEntries(fields.map(([name, text]) => [name, text === "" ? null : text]));
}

/** Halves what DuckDB cannot read until the one that is to blame is alone. */
async function goodRows(
  duck: Duck,
  rows: readonly Row[],
  types: Columns,
  bad: (index: number, error: unknown) => void,
): Promise<readonly string[]> {
  if (rows.length === 0) return [];
  const text = rows.map(({ json }) => json).join("");
  try {
    await check(duck, text, types);
    return [text];
  } catch (error) {
    if (!(error instanceof DuckError && error.isOfData)) throw error;
    if (rows.length === 1) {
      bad(rows[0]!.index, error);
      return [];
    }
  }
  const middle = rows.length >> 1;
  const first = await goodRows(duck, rows.slice(0, middle), types, bad);
  return [...first, ...(await goodRows(duck, rows.slice(middle), types, bad))];
}

/** Reads every value. @throws DuckError */
async function check(duck: Duck, text: string, types: Columns): Promise<void> {
  const file = new TableFile(duck, "checked");
  try {
    file.write(Buffer.from(text));
    file.close();
    await duck.run(`CREATE OR REPLACE TEMP TABLE checked AS ${jsonReader(duck.file(file.name), types)}`);
    await duck.run("DROP TABLE checked");
  } finally {
    rmSync(join(duck.folder, file.name), { force: true });
  }
}
