import { MillraceError } from "../../runtime/errors.ts";
import type { BucketReader } from "../../runtime/ports.ts";
import type { CsvFormat, RecordFormat } from "../../shared/mapreduce/format.ts";
import { CsvFramer, type CsvState } from "./csv.ts";
import { csvColumns, type Format, formatOf } from "./formats.ts";
import { keysOf } from "./keys.ts";
import { readJson } from "./plan.ts";
import { batches, isCompressed, type Piece } from "./records.ts";

/** In which state a piece of CSV begins. */
export interface Border {
  readonly key: string;
  readonly from: number;
  readonly state: CsvState;
}

/** What reads the pieces of a shard. */
export interface ReadingLinks {
  readonly input: Pick<BucketReader, "get" | "stream">;
  readonly work: Pick<BucketReader, "get">;
}

/** How a piece is read. */
export interface Reading {
  readonly form: Format;
  /** In which state of CSV it begins, and what follows it; absent where none is needed. */
  readonly state?: CsvState;
  readonly stateBehind?: CsvState;
  /** Of CSV, in their order in the object. */
  readonly columns?: readonly string[];
  /** Bytes that the names of the columns have at the object's start. */
  readonly header: number;
}

export const csvOf = (format: RecordFormat): CsvFormat | undefined =>
  typeof format === "object" ? format.csv : undefined;

/** Says how a piece is read: with which columns, and how it is quoted where it begins. */
export async function readingOf(
  run: string,
  piece: Piece,
  format: RecordFormat,
  { input, work }: ReadingLinks,
  signal: AbortSignal,
): Promise<Reading> {
  if (format === "parquet") throw new TypeError("rows of Parquet are read by DuckDB");
  const csv = csvOf(format);
  if (!csv) return { form: formatOf(format), header: 0 };
  const head = csv.columns ? { columns: csv.columns, header: 0 } : await headerOf(input, piece, csv, signal);
  const form = formatOf(format, head.columns);
  const isWhole = piece.from === 0 && piece.to === piece.size;
  if (csv.quotedNewlines === false || isWhole) return { form, ...head };
  const borders = await readJson<readonly Border[]>(work, keysOf(run).borders);
  const stateAt = (at: number): CsvState => {
    const border = borders.find((one) => one.key === piece.key && one.from === at);
    if (!border) throw new MillraceError("failed", `${piece.key}: nobody found out how byte ${at} is quoted`);
    return border.state;
  };
  return {
    form,
    ...head,
    ...(piece.from > 0 && { state: stateAt(piece.from) }),
    ...(piece.to < piece.size && { stateBehind: stateAt(piece.to) }),
  };
}

/** The columns of an object, which its first record names. */
async function headerOf(
  input: Pick<BucketReader, "get" | "stream">,
  piece: Piece,
  csv: CsvFormat,
  signal: AbortSignal,
): Promise<{ readonly columns: readonly string[]; readonly header: number }> {
  const { delimiter = ",", quotedNewlines = true } = csv;
  const framer = () => (quotedNewlines ? new CsvFramer(delimiter) : formatOf({ csv }).framer());
  // Up to the end of the record that begins the object.
  const start: Piece = isCompressed(piece.key) ? piece : { ...piece, from: 0, to: 1 };
  for await (const batch of batches(input, start, framer(), { signal })) {
    const end = framer().first(batch.bytes);
    const bytes = batch.bytes.subarray(0, end === 0 ? undefined : end);
    return { columns: csvColumns({ ...batch, bytes }, delimiter), header: bytes.length };
  }
  return { columns: [], header: 0 };
}
