/**
 * How the objects read are made of records: `"lines"`, each a string without its line break; `"jsonl"`, a JSON value on
 * every line; CSV, an object of strings by their columns. All are UTF-8; objects whose keys end in `.gz` are inflated.
 * `"parquet"`, an object by its columns, is cut at its row groups.
 */
export type RecordFormat = "lines" | "jsonl" | "parquet" | { readonly csv: CsvFormat };

/** How the output is written: a JSON object on each line, or Parquet with the columns of the reducer's rows. */
export type OutputFormat = "jsonl" | "parquet";

/** How CSV is written. */
export interface CsvFormat {
  /** One ASCII character. @default "," */
  readonly delimiter?: string;
  /** Names, where the objects do not begin with them. @default the first record of each object has them */
  readonly columns?: readonly string[];
  /** Whether quoted fields may hold line breaks: to know for sure, all is read once more before. @default true */
  readonly quotedNewlines?: boolean;
}
