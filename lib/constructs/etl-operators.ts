import { createRequire } from "node:module";
import type { ReadyOperator } from "../handlers/etl/settings.ts";
import type { OperatorModule, OperatorProgram } from "../handlers/etl/user-code.ts";
import type { Code, Program, Table } from "../parts/index.ts";
import { type Duration, toSeconds } from "../shared/duration.ts";

/** An operator that comes with the library. */
export interface ReadyMade {
  readonly operator: ReadyOperator;
  /** What `enrich` reads. */
  readonly table?: Table;
}

/** What makes values of records: the user's code, or one that comes with the library. */
export type EtlOperator = Code<OperatorModule> | Program<OperatorProgram> | ReadyMade;

/**
 * Lets records go on of which a JSONata expression is true. It is about the value; `$key`, `$headers`, `$stream`,
 * `$partition`, `$offset` and `$timestamp` are the rest of the record.
 *
 * @example
 * filter("total > 100 and $headers.region = 'eu'")
 * @see https://docs.jsonata.org
 */
export const filter = (expression: string): ReadyMade => ({
  operator: { ready: "filter", expression: checked("filter", expression) },
});

/**
 * Makes of each value what a JSONata expression says; a record goes no further if that is nothing.
 *
 * @example
 * map("{ 'id': order.id, 'total': $sum(order.items.price) }")
 */
export const map = (expression: string): ReadyMade => ({
  operator: { ready: "map", expression: checked("map", expression) },
});

/**
 * Makes a value of each element of a list; what is no list goes on as it is.
 *
 * @param expression JSONata that says which list. @default the value is it
 * @example
 * split("order.items")
 */
export const split = (expression = "$"): ReadyMade => ({
  operator: { ready: "split", expression: checked("split", expression) },
});

/**
 * Adds the value of a table's row to each value. A row is remembered for a while.
 *
 * @param options.partition the partition of the rows
 * @param options.key JSONata that says the row's sort key
 * @param options.into the field that the row becomes, such as `"customer"` or `"order.customer"`
 * @param options.missing a record without a row: it goes on as it is, no further, or to the dead letters. @default "fail"
 * @param options.cache how long a row is remembered. @default "1 minute"
 * @example
 * enrich(table, { partition: "customers", key: "customerId", into: "customer" })
 */
export function enrich(
  table: Table,
  options: {
    readonly partition: string;
    readonly key: string;
    readonly into: string;
    readonly missing?: "keep" | "drop" | "fail";
    readonly cache?: Duration;
  },
): ReadyMade {
  const { partition, key, into, missing = "fail", cache = "1 minute" } = options;
  if (table.kind !== "table") throw new Error("enrich: a table is wanted");
  return {
    operator: {
      ready: "enrich",
      ...{ partition, key: checked("enrich", key), into, missing, cache: toSeconds(cache) },
    },
    table,
  };
}

/**
 * Puts `***` in the place of fields, also in every element of lists on the way there. A field that is not there is none.
 *
 * @param options.shown last characters that stay. @default 0
 * @example
 * mask(["card.number", "contacts.email"], { shown: 4 })
 */
export function mask(fields: readonly string[], options: { readonly shown?: number } = {}): ReadyMade {
  const { shown = 0 } = options;
  const isPath = (field: string) => field !== "" && !field.split(".").includes("");
  if (fields.length === 0 || !fields.every(isPath)) {
    throw new Error(`mask: fields are wanted, such as ["card.number"], got ${JSON.stringify(fields)}`);
  }
  return { operator: { ready: "mask", fields, shown } };
}

export const isReadyMade = (operator: EtlOperator): operator is ReadyMade => "operator" in operator;

/** @throws an error that says where it is no JSONata: at the deployment, and not at the first record */
export function checked(who: string, expression: string): string {
  // Loaded by programs that have an expression, and there at once.
  const jsonata = createRequire(import.meta.url)("jsonata") as (text: string) => unknown;
  try {
    jsonata(expression);
    return expression;
  } catch (error) {
    const { message } = error as { readonly message: string };
    throw new Error(`${who}: ${JSON.stringify(expression)} is no JSONata: ${message}`);
  }
}
