/**
 * How the objects read are made of records: `"lines"`, each a string without its line break; `"jsonl"`, a JSON value on
 * every line; CSV, an object of strings by their columns. All are UTF-8; objects whose keys end in `.gz` are inflated.
 */
export type RecordFormat = "lines" | "jsonl" | { readonly csv: CsvFormat };

/** How CSV is written. */
export interface CsvFormat {
  /** One ASCII character. @default "," */
  readonly delimiter?: string;
  /** Names, where the objects do not begin with them. @default the first record of each object has them */
  readonly columns?: readonly string[];
  /** Whether quoted fields may hold line breaks: to know for sure, all is read once more before. @default true */
  readonly quotedNewlines?: boolean;
}
