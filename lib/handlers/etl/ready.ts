import type { Clock } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { TableReader } from "../../runtime/ports.ts";
import { type Evaluate, expressionOf } from "./expression.ts";
import type { EtlRecord } from "./records.ts";
import { type EnrichOperator, type ReadyOperator, tableLink } from "./settings.ts";
import type { Operator } from "./user-code.ts";

/** What ready-made operators work with. */
export interface ReadyWorld {
  readonly links: object;
  readonly clock: Clock;
}

/**
 * A ready-made operator, to be called as one of the user's.
 *
 * @param index its place in the chain
 */
export async function readyOperator(
  given: ReadyOperator,
  index: number,
  world: ReadyWorld,
): Promise<Operator<unknown>> {
  switch (given.ready) {
    case "filter":
      return filterBy(await expressionOf(`$boolean(${given.expression})`));
    case "map":
      return mapBy(await expressionOf(given.expression));
    case "split":
      return splitBy(await expressionOf(given.expression));
    case "mask":
      return maskOf(given.fields, given.shown);
    case "enrich":
      return enrichBy(given, await expressionOf(given.key), tableOf(world, index), world);
  }
}

const filterBy =
  (holds: Evaluate): Operator<unknown> =>
  async (record) =>
    (await holds(record)) === true ? [record.value] : undefined;

/** What it comes to is one value, be it a list. */
const mapBy =
  (made: Evaluate): Operator<unknown> =>
  async (record) => {
    const value = await made(record);
    return value === undefined ? undefined : [value];
  };

const splitBy =
  (parts: Evaluate): Operator<unknown> =>
  async (record) => {
    const list = await parts(record);
    if (Array.isArray(list) || list === undefined) return list;
    return [list];
  };

const STARS = "***";

function maskOf(fields: readonly string[], shown: number): Operator<unknown> {
  const paths = fields.map((field) => field.split("."));
  const hidden = (value: unknown): unknown => {
    if (value === null) return null;
    return shown > 0 && typeof value !== "object" ? STARS + String(value).slice(-shown) : STARS;
  };
  return ({ value }) => [paths.reduce((masked, path) => changed(masked, path, hidden), value)];
}

/** The value with what lies at the path made another one, in every element of lists on the way; the rest is shared. */
function changed(value: unknown, path: readonly string[], change: (value: unknown) => unknown): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return change(value);
  if (Array.isArray(value)) return value.map((one) => changed(one, path, change));
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return value;
  return { ...value, [name]: changed((value as Record<string, unknown>)[name], rest, change) };
}

function tableOf({ links }: ReadyWorld, index: number): TableReader {
  return (links as Readonly<Record<string, TableReader>>)[tableLink(index)]!;
}

/** Rows remembered by one instance of the function, of one table. */
const MOST_ROWS = 10_000;

interface Remembered {
  readonly value: Promise<unknown>;
  readonly until: number;
}

function enrichBy(
  { partition, into, missing, cache }: EnrichOperator,
  key: Evaluate,
  table: TableReader,
  { clock }: ReadyWorld,
): Operator<unknown> {
  const rows = new Map<string, Remembered>();
  const read = (sort: string): Promise<unknown> => {
    const known = rows.get(sort);
    if (known && known.until > clock.now()) return known.value;
    const value = table.get(partition, sort).then((row) => row?.value);
    if (rows.size >= MOST_ROWS) rows.delete(rows.keys().next().value!);
    rows.delete(sort);
    rows.set(sort, { value, until: clock.now() + cache * 1000 });
    value.catch(() => rows.delete(sort));
    return value;
  };
  return async (record) => {
    const sort = await key(record);
    const row = sort === undefined || sort === null ? undefined : await read(String(sort));
    if (row !== undefined) return [withField(record, into.split("."), row)];
    if (missing === "keep") return [record.value];
    if (missing === "drop") return undefined;
    throw new MillraceError("not-found", `no row "${partition}" / ${JSON.stringify(sort)} to enrich the record with`);
  };
}

function withField({ value }: EtlRecord, path: readonly string[], row: unknown): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return row;
  if (value !== undefined && (typeof value !== "object" || value === null || Array.isArray(value))) {
    throw new MillraceError("bad-input", `only an object has a field "${name}" to enrich`);
  }
  const inner = (value as Record<string, unknown> | undefined)?.[name];
  return { ...value, [name]: withField({ value: inner } as EtlRecord, rest, row) };
}
