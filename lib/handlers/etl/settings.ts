import type { RecordFormat } from "./records.ts";

/** An operator that comes with the library, as data. */
export type ReadyOperator =
  | { readonly ready: "filter"; readonly expression: string }
  | { readonly ready: "map"; readonly expression: string }
  | { readonly ready: "split"; readonly expression: string }
  | { readonly ready: "mask"; readonly fields: readonly string[]; readonly shown: number }
  | EnrichOperator;

export interface EnrichOperator {
  readonly ready: "enrich";
  readonly partition: string;
  /** What finds the row's `sort`. */
  readonly key: string;
  /** Where the row's value goes. */
  readonly into: string;
  readonly missing: "keep" | "drop" | "fail";
  /** Seconds a row is remembered. */
  readonly cache: number;
}

/** One step of the chain: ready-made, or the user's code of that name. */
export type OperatorSettings = ReadyOperator | { readonly code: string };

/** What a destination is, to whoever writes to it. */
export type SinkKind = "same-kafka" | "stream" | "bucket" | "queue" | "function" | "result";

export interface EtlSettings {
  readonly operators: readonly OperatorSettings[];
  readonly format: RecordFormat;
  readonly to: SinkKind;
  readonly deadLetters: "same-kafka" | "stream" | "queue";
  /** Where it is kept how far each partition has come. */
  readonly places: "stream" | "table";
  /** What an output is known by: a path or JSONata. */
  readonly key?: string;
  /** Seconds a key is remembered. */
  readonly remembered: number;
  /** Tries of what fails outside of the record. */
  readonly tries: number;
  readonly objects: { readonly prefix: string; readonly gzip: boolean };
  /** The pipeline's own settings for operators. */
  readonly user: Readonly<Record<string, unknown>>;
}

/** The table of an `enrich`, by its place in the chain. */
export const tableLink = (index: number): string => `table-${index}`;

/** What the user links for operators: apart from what the pipeline itself links. */
export const userLink = (name: string): string => `user.${name}`;

/** The user's links among all of them. */
export const userLinks = (links: object): Readonly<Record<string, object>> =>
  Object.fromEntries(
    Object.entries(links)
      .filter(([name]) => name.startsWith(userLink("")))
      .map(([name, port]) => [name.slice(userLink("").length), port as object]),
  );
