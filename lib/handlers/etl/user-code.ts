import type { Log } from "../../runtime/handler.ts";
import type { EtlRecord } from "./records.ts";

/** What operators are told and given besides. */
export interface OperatorContext<Links = Readonly<Record<string, object>>> {
  /** What the pipeline's `links` name. */
  readonly links: Links;
  /** The pipeline's `settings`. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly log: Log;
  /** Aborts when the invocation's time is over. */
  readonly signal: AbortSignal;
}

/**
 * What one record becomes: a value, several from an array or generator, `undefined` for none; or a promise of it. A
 * record it throws on is dead, unless it throws a `MillraceError` of a kind such as `unavailable`: then it is tried again.
 */
export type Operator<Value = never> = (record: EtlRecord<Value>, context: OperatorContext<never>) => unknown;

/**
 * What each of many records becomes: an answer for each, in their order, and each as of an {@link Operator}. When it
 * throws, the records are given again in halves, until the one is alone that is to blame.
 */
export type BatchOperator<Value = never> = (
  records: readonly EtlRecord<Value>[],
  context: OperatorContext<never>,
) => readonly unknown[] | Promise<readonly unknown[]>;

/** What says whether a value is as wanted, and what it is then: a zod schema. */
export interface Schema<Value = unknown> {
  safeParse(
    value: unknown,
  ): { readonly success: true; readonly data: Value } | { readonly success: false; readonly error: SchemaError };
}

/** What is wrong with a value, as zod says it. */
export interface SchemaError {
  readonly message: string;
  readonly issues?: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
}

/** A file with an operator: `operator` or `batch`, and `schema` for the values it takes. */
export interface OperatorModule {
  readonly operator?: Operator;
  readonly batch?: BatchOperator;
  /** A record whose value is not so is dead; the operator gets what the schema makes of it. */
  readonly schema?: Schema;
}

/**
 * A program gets records as JSON, `{ key, value, headers, stream, partition, offset, timestamp }`, and answers a list as
 * long: for each its value, a list of several, or null for none.
 */
export type OperatorProgram = (records: readonly unknown[]) => Promise<readonly unknown[]>;
