/** A query of DuckDB's SQL in place of a mapper or reducer. https://duckdb.org/docs/stable/sql/introduction */
export interface Sql {
  readonly sql: string;
  /** Types by the names of columns, as DuckDB writes them. */
  readonly columns?: Columns;
}

/** Types by the names of columns, such as `{ user: "VARCHAR", amount: "BIGINT", tags: "VARCHAR[]" }`. */
export type Columns = Readonly<Record<string, string>>;

/** Settings of {@link sql}. */
export interface SqlOptions {
  /**
   * To a mapper: of JSON lines, the fields that are read, with their types; of CSV, the types of columns that are more
   * than text. To a reducer behind a mapper in code: the type of `value`. @default JSON values for a reducer; text for CSV
   */
  readonly columns?: Columns;
}

/**
 * A mapper or reducer in SQL: one SELECT, run by DuckDB on all records of a shard, or all pairs of a partition, at once.
 *
 * A mapper selects from `records`: the columns of CSV or Parquet, those given of JSON lines, or `line`. It answers rows
 * with the column `key`, and for a reducer in code with `value`, which becomes JSON; to a reducer in SQL all columns come
 * as they are. A reducer selects from `pairs`; each of its rows is a line of the output, or a row of Parquet. Rows of one
 * key, whatever its type, come to one reducer; `key` may be NULL.
 *
 * The package `@duckdb/node-api` has to be installed. The query sees no network, no extensions that are not built in, and
 * no file but its own. A record or a row of a table is at most 16 MB long.
 *
 * @example
 * const flow = new MapReduceFlow("counts", {
 *   cloud,
 *   format: "jsonl",
 *   mapper: sql("SELECT type AS key, count(*) AS value FROM records GROUP BY 1", { columns: { type: "VARCHAR" } }),
 *   reducer: sql("SELECT key, sum(value) AS value FROM pairs GROUP BY 1"),
 * });
 */
export const sql = (query: string, { columns }: SqlOptions = {}): Sql => ({
  sql: query,
  ...(columns && { columns }),
});

export const isSql = (value: object): value is Sql => "sql" in value;
