import type Jsonata from "jsonata";
import { MillraceError } from "../../runtime/errors.ts";
import type { EtlRecord } from "./records.ts";

/** What an expression says of a record's value. */
export type Evaluate = (record: EtlRecord) => unknown | Promise<unknown>;

/**
 * A JSONata expression on a record's value; `$key`, `$headers`, `$stream`, `$partition`, `$offset` and `$timestamp` are
 * the rest of it. A mere path such as `customer.id` costs no more than looking there.
 *
 * @throws `bad-input` if it is no JSONata
 */
export async function expressionOf(text: string): Promise<Evaluate> {
  const jsonata = await compile(text);
  const evaluate: Evaluate = (record) => jsonata.evaluate(record.value, bindingsOf(record));
  if (!PATH.test(text) || LITERALS.includes(text)) return evaluate;
  const names = text.split(".");
  return (record) => {
    let found: unknown = record.value;
    for (const name of names) {
      // JSONata goes through lists by itself.
      if (Array.isArray(found)) return evaluate(record);
      if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
      found = (found as Record<string, unknown>)[name];
    }
    return Array.isArray(found) ? evaluate(record) : found;
  };
}

const PATH = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/;
/** Words that are no path in JSONata. */
const LITERALS = ["true", "false", "null", "and", "or", "in"];

async function compile(text: string): Promise<Jsonata.Expression> {
  // Who uses no expression does not load it.
  const { default: jsonata } = await import("jsonata");
  try {
    return jsonata(text);
  } catch (error) {
    const { message } = error as { readonly message: string };
    throw new MillraceError("bad-input", `${JSON.stringify(text)} is no JSONata: ${message}`);
  }
}

const bindingsOf = ({ key, headers, stream, partition, offset, timestamp }: EtlRecord) => ({
  ...{ key, headers, stream, partition, offset, timestamp },
});
