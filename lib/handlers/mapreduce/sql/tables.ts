import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { MillraceError } from "../../../runtime/errors.ts";
import type { RecordFormat } from "../../../shared/mapreduce/format.ts";
import type { Columns } from "../../../shared/mapreduce/sql.ts";
import { type Duck, nameOf, textOf } from "./duck.ts";

/** Records of a kind in a file that DuckDB reads. */
export interface Table {
  /** Its file, as SQL writes it. */
  readonly file: string;
  /** Of CSV, in their order. */
  readonly columns?: readonly string[];
}

/** Longest record, in bytes; DuckDB keeps two of them at hand for each thread. */
const LONGEST = 16 * 2 ** 20;

/**
 * The query that reads tables.
 *
 * @param format in which they lie in their files
 * @param types by column
 */
export function readerOf(tables: readonly Table[], format: RecordFormat, types: Columns): string {
  if (tables.length === 0) return nothing(format, types);
  if (format === "parquet") return `SELECT * FROM read_parquet(${listOf(tables)}, union_by_name = true)`;
  if (format === "jsonl") return jsonReader(listOf(tables), types);
  if (format === "lines") {
    const reader = csvReader(listOf(tables), { line: "VARCHAR" }, "delim = '\\0', quote = '', escape = ''");
    // An empty line is one; to a CSV reader it is a column without a value.
    return `SELECT coalesce(line, '') AS line FROM ${reader}`;
  }
  const { delimiter = "," } = format.csv;
  const selects = tables.map(({ file, columns = [] }) => {
    const typed = Object.fromEntries(columns.map((column) => [column, types[column] ?? "VARCHAR"]));
    const dialect = `delim = ${textOf(delimiter)}, quote = '"', escape = '"'`;
    return `SELECT * FROM ${csvReader(file, typed, dialect)}`;
  });
  return selects.join(" UNION ALL BY NAME ");
}

/** JSON lines with these fields. */
export const jsonReader = (files: string, types: Columns): string =>
  `SELECT * FROM read_json(${files}, format = 'newline_delimited', compression = 'uncompressed', maximum_object_size = ${LONGEST}, columns = ${typesText(types)})`;

/** Read leniently, as mappers in code have it. */
const csvReader = (files: string, types: Columns, dialect: string): string =>
  `read_csv(${files}, header = false, auto_detect = false, strict_mode = false, compression = 'none', ${dialect}, max_line_size = ${LONGEST}, buffer_size = ${2 * LONGEST}, columns = ${typesText(types)})`;

const listOf = (tables: readonly Table[]): string => `[${tables.map(({ file }) => file).join(", ")}]`;

const typesText = (types: Columns): string =>
  `{${Object.entries(types)
    .map(([name, type]) => `${nameOf(name)}: ${textOf(type)}`)
    .join(", ")}}`;

function nothing(format: RecordFormat, types: Columns): string {
  const columns = Object.entries(format === "lines" ? { line: "VARCHAR" } : types);
  const list = columns.map(([name, type]) => `CAST(NULL AS ${type}) AS ${nameOf(name)}`);
  return `SELECT ${list.length > 0 ? list.join(", ") : "NULL AS nothing"} WHERE false`;
}

/** A file in DuckDB's folder that is written from its start. */
export class TableFile {
  readonly name: string;
  readonly #handle: number;
  #last = NEWLINE;

  constructor(duck: Duck, name: string) {
    this.name = name;
    this.#handle = openSync(join(duck.folder, name), "w");
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#handle, bytes, at);
    this.#last = bytes.at(-1) ?? this.#last;
  }

  writeAt(bytes: Uint8Array, position: number): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#handle, bytes, at, bytes.length - at, position + at);
  }

  /** The record that was written last is ended, unless it is. */
  endRecord(): void {
    if (this.#last !== NEWLINE) this.write(Buffer.of(NEWLINE));
  }

  close(): void {
    closeSync(this.#handle);
  }
}

const NEWLINE = 0x0a;

/** A query whose columns Parquet can hold without loss: it has no integers of 128 bits, but decimals. */
export async function portable(duck: Duck, query: string): Promise<string> {
  const large = (await duck.columnsOf(query)).filter(([, type]) => /\bU?HUGEINT\b/.test(type));
  if (large.length === 0) return query;
  const casts = large.map(([name, type]) => {
    const held = type.replaceAll(/\bU?HUGEINT\b/g, "DECIMAL(38, 0)");
    return `CAST(${nameOf(name)} AS ${held}) AS ${nameOf(name)}`;
  });
  return `SELECT * REPLACE (${casts.join(", ")}) FROM (${query}\n)`;
}

/** @throws `bad-input` if a query does not answer these columns */
export async function checkColumns(duck: Duck, query: string, wanted: readonly string[]): Promise<void> {
  const found = (await duck.columnsOf(query)).map(([name]) => name);
  const missing = wanted.filter((name) => !found.some((one) => one.toLowerCase() === name));
  if (missing.length === 0) return;
  throw new MillraceError(
    "bad-input",
    `sql: the query answers the columns ${found.join(", ")}, and no ${missing.join(" and no ")}`,
  );
}
