import type { OutputFormat, RecordFormat } from "../../shared/mapreduce/format.ts";
import type { Columns } from "../../shared/mapreduce/sql.ts";

/** What is read. */
export interface InputSettings {
  readonly prefix: string;
  /** None: any ending. */
  readonly suffixes: readonly string[];
  readonly format: RecordFormat;
}

/** Settings of the splitter. */
export interface SplitSettings extends InputSettings {
  /** Bytes. */
  readonly shardSize: number;
}

/** Settings of the mappers. */
export interface MapSettings extends Pick<InputSettings, "format"> {
  readonly partitions: number;
  /** Records that may be skipped in the whole run. */
  readonly skips: number;
  /** Bytes of pairs held before they are written. */
  readonly buffer: number;
}

/** Settings of reducers and of the end. */
export interface OutputSettings {
  readonly outputPrefix: string;
}

/** A query, and what runs it. */
export interface SqlSettings {
  readonly sql: string;
  readonly columns: Columns;
  /** Bytes that DuckDB may have; what is beyond goes to the scratch folder. */
  readonly memory: number;
  readonly threads: number;
}

/** Settings of mappers in SQL. */
export interface SqlMapSettings extends MapSettings, SqlSettings {
  /** Whether the reducer is in SQL too: it gets rows as they are, in place of pairs. */
  readonly rows: boolean;
}

/** Settings of reducers in SQL. */
export interface SqlReduceSettings extends OutputSettings, SqlSettings {
  readonly outputFormat: OutputFormat;
}

/** A step of a run. */
export interface RunStep {
  readonly run: string;
}
