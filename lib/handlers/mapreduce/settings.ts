import type { RecordFormat } from "../../shared/mapreduce/format.ts";

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

/** A step of a run. */
export interface RunStep {
  readonly run: string;
}
