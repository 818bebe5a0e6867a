import { expect, test } from "vitest";
import { z } from "zod";
import { chainOf, type EtlCode } from "../../../lib/handlers/etl/operators.ts";
import type { EtlRecord } from "../../../lib/handlers/etl/records.ts";
import type { EtlSettings, ReadyOperator } from "../../../lib/handlers/etl/settings.ts";
import type { OperatorModule } from "../../../lib/handlers/etl/user-code.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { StreamRecord } from "../../../lib/runtime/events.ts";
import { contextOf, Faults, record, Stores, settingsOf, table } from "./world.ts";

/** What a chain makes: of each record its values, or the kind and place of its failure. */
async function made(
  records: readonly StreamRecord[],
  operators: readonly (OperatorModule | EtlCode[string] | ReadyOperator)[],
  { links = {}, ...given }: Partial<EtlSettings> & { readonly links?: object } = {},
) {
  const code: Record<string, EtlCode[string]> = {};
  const settings = settingsOf({
    ...given,
    operators: operators.map((one, index) => {
      if (typeof one === "object" && "ready" in one) return one;
      code[`o${index}`] = one;
      return { code: `o${index}` };
    }),
  });
  const chain = await chainOf(contextOf(links, settings, { code }));
  const processed = await chain("orders", records);
  return processed.map(({ values, failure }) => (failure ? `${failure.operator}: ${failure.error.kind}` : values));
}

const values = (...given: readonly unknown[]) => given.map((value, offset) => record(offset, value));
type Number = EtlRecord<number>;

test("one value, several, none, of functions, generators and promises; all or nothing of a record", async () => {
  const operators: readonly OperatorModule[] = [
    {
      operator: function* ({ value }: Number) {
        for (let n = 0; n < value; n += 1) yield n;
      },
    },
    { operator: async ({ value }: Number) => (value === 1 ? undefined : [value, value * 10]) },
    {
      operator: async function* ({ value }: Number) {
        if (value === 20) throw new Error("no twenty");
        yield value;
      },
    },
  ];
  expect(await made(values(0, 1, 2, 3), operators)).toEqual([[], [0, 0], [0, 0], "3: failed"]);
  expect(await made(values("text", null, { a: 1 }), [{ operator: ({ value }: EtlRecord) => value }])).toEqual([
    ["text"],
    [null],
    [{ a: 1 }],
  ]);
});

test("a schema: what is not so is dead, the rest is as the schema makes it", async () => {
  const operator: OperatorModule = {
    schema: z.object({ n: z.coerce.number(), unit: z.string().default("m") }),
    operator: ({ value }: EtlRecord<{ readonly n: number; readonly unit: string }>) => `${value.n + 1} ${value.unit}`,
  };
  expect(await made(values({ n: "1" }, { n: "x" }, { n: 2, unit: "km" }, null), [operator])).toEqual([
    ["2 m"],
    "1: bad-input",
    ["3 km"],
    "1: bad-input",
  ]);
  const batch: OperatorModule = {
    schema: z.number(),
    batch: (records: readonly Number[]) => records.map(({ value }) => value + records.length),
  };
  expect(await made(values(1, "x", 2), [batch])).toEqual([[3], "1: bad-input", [4]]);
});

test("formats: JSON, text, bytes; empty, binary, invalid, deep and large values", async () => {
  const depth = 2000;
  const deep = `${"[".repeat(depth)}${"]".repeat(depth)}`;
  const large = Buffer.from(JSON.stringify("x".repeat(2 ** 20)));
  const raw = [Buffer.alloc(0), Buffer.from([0xff, 0xc3]), Buffer.from("null"), Buffer.from(deep), large];
  const records = [...raw.map((bytes, offset) => record(offset, bytes)), record(9, undefined)];
  const length: OperatorModule = {
    operator: ({ value }: EtlRecord) => (typeof value === "string" ? value.length : value === null ? "null" : "other"),
  };
  expect(await made(records, [length])).toEqual([
    ...["format: bad-input", "format: bad-input", ["null"], ["other"], [2 ** 20], ["null"]],
  ]);
  expect(await made(records, [length], { format: "text" })).toEqual([
    ...[[0], "format: bad-input", [4], [2 * depth], [large.byteLength], ["null"]],
  ]);
  const bytes: OperatorModule = { operator: ({ value }: EtlRecord<Uint8Array | null>) => value?.byteLength ?? "null" };
  expect(await made(records, [bytes], { format: "bytes" })).toEqual([
    ...[[0], [2], [4], [2 * depth], [large.byteLength], ["null"]],
  ]);
});

test("what does not answer is tried again, and then the batch fails; what answers no is dead", async () => {
  const calls = new Map<number, number>();
  const shaky = ({ value }: Number) => {
    calls.set(value, (calls.get(value) ?? 0) + 1);
    if (calls.get(value)! < 3) throw new MillraceError("unavailable", "later");
    return value;
  };
  expect(await made(values(1, 2), [{ operator: shaky }], { tries: 3 })).toEqual([[1], [2]]);
  const later: OperatorModule = { operator: async (given: Number) => shaky(given) };
  expect(await made(values(3, 4, 5, 6), [later], { tries: 3 })).toEqual([[3], [4], [5], [6]]);
  const down: OperatorModule = { operator: () => Promise.reject(new MillraceError("unavailable", "down")) };
  await expect(made(values(1), [down], { tries: 2 })).rejects.toMatchObject({ kind: "unavailable" });
  const no: OperatorModule = { operator: () => Promise.reject(new MillraceError("not-found", "nobody knows")) };
  expect(await made(values(1), [no], { tries: 2 })).toEqual(["1: not-found"]);
});

test("batches: the ones to blame are found by halves, in TypeScript and in programs; others are asked for nothing twice", async () => {
  const sizes: number[] = [];
  const batch: OperatorModule = {
    batch: async (records: readonly Number[]) => {
      sizes.push(records.length);
      if (records.some(({ value }) => value % 16 === 5)) throw new Error("five");
      return records.map(({ value }) => (value === 0 ? undefined : value === 1 ? ["a", "b"] : value));
    },
  };
  const numbers = Array.from({ length: 32 }, (_, n) => n);
  const wanted = numbers.map((n) => (n % 16 === 5 ? "1: failed" : n === 0 ? [] : n === 1 ? ["a", "b"] : [n]));
  expect(await made(values(...numbers), [batch])).toEqual(wanted);
  expect(sizes.length).toBeLessThanOrEqual(19);
  const program = (payload: unknown) => batch.batch!(payload as never, {} as never) as Promise<readonly unknown[]>;
  expect(await made(values(...numbers), [async (given) => (await program(given)).map((one) => one ?? null)])).toEqual(
    wanted,
  );
  // Too few answers for two, and enough for one.
  expect(await made(values(1, 2), [{ batch: () => [7] }])).toEqual([[7], [7]]);
  expect(await made(values(1), [{ batch: () => [] }])).toEqual(["1: failed"]);
});

test("programs get what they take in one call: large batches in several, a record that is too large in none", async () => {
  const sizes: number[] = [];
  const program = async (records: readonly unknown[]) => {
    sizes.push(records.length);
    return records.map((one) => (one as EtlRecord<string>).value.length);
  };
  const texts = [...Array.from({ length: 5 }, () => "x".repeat(500_000)), "y".repeat(5 * 2 ** 20)];
  expect(await made(values(...texts), [program])).toEqual([...texts.slice(0, 5).map(() => [500_000]), "1: refused"]);
  expect(sizes).toEqual([2, 2, 1]);
  const bytes = async (records: readonly unknown[]) => records.map((one) => (one as EtlRecord).value);
  expect(await made([record(0, Buffer.from([0xff]))], [bytes], { format: "bytes" })).toEqual([["/w=="]]);
});

test("ready-made: filter, map, split, mask", async () => {
  const order = {
    id: 1,
    total: 5,
    card: { number: "1234567" },
    items: [
      { sku: "a", price: 2 },
      { sku: "b", price: 3 },
    ],
  };
  const records = [
    record(0, order, { key: "k", headers: { region: "eu" } }),
    record(1, { id: 2, total: -1, items: [] }, { headers: { region: "us" } }),
  ];
  const ready = (...operators: readonly ReadyOperator[]) => made(records, operators);
  expect(await ready({ ready: "filter", expression: "total > 0" })).toEqual([[order], []]);
  expect(await ready({ ready: "filter", expression: "$headers.region = 'us' and $offset = 1" })).toMatchObject([
    [],
    [{ id: 2 }],
  ]);
  expect(await ready({ ready: "map", expression: "{ 'id': id, 'sum': $sum(items.price), 'key': $key }" })).toEqual([
    [{ id: 1, sum: 5, key: "k" }],
    [{ id: 2 }],
  ]);
  expect(await ready({ ready: "map", expression: "card.number" })).toEqual([["1234567"], []]);
  // A list is one value to map, and several to split.
  expect(JSON.stringify(await ready({ ready: "map", expression: "items.sku" }))).toBe('[[["a","b"]],[]]');
  expect(await ready({ ready: "split", expression: "items" }, { ready: "map", expression: "sku" })).toEqual([
    ["a", "b"],
    [],
  ]);
  expect(await ready({ ready: "mask", fields: ["card.number", "items.price", "none"], shown: 2 })).toEqual([
    [
      {
        ...order,
        card: { number: "***67" },
        items: [
          { sku: "a", price: "***2" },
          { sku: "b", price: "***3" },
        ],
      },
    ],
    [{ id: 2, total: -1, items: [] }],
  ]);
  expect(await ready({ ready: "map", expression: "$error('never')" })).toEqual(["1: failed", "1: failed"]);
  await expect(ready({ ready: "map", expression: "a b" })).rejects.toMatchObject({ kind: "bad-input" });
});

test("enrich: rows by key, each read once, and what becomes of records without one", async () => {
  const stores = new Stores();
  const faults = new Faults();
  const links = { "table-0": table(stores.rows, faults) };
  await links["table-0"].put("customers", "ada", { name: "Ada" });
  faults.begin();
  const enrich = { ready: "enrich", partition: "customers", key: "customer", into: "more.who", cache: 60 } as const;
  const orders = values({ customer: "ada" }, { customer: "ada", more: { a: 1 } }, { customer: "eve" }, {}, 5);
  const known = [
    [{ customer: "ada", more: { who: { name: "Ada" } } }],
    [{ customer: "ada", more: { a: 1, who: { name: "Ada" } } }],
  ];
  expect(await made(orders, [{ ...enrich, missing: "fail" }], { links })).toEqual([
    ...[...known, "1: not-found", "1: not-found", "1: not-found"],
  ]);
  expect(faults.calls).toBe(2);
  expect(await made(orders, [{ ...enrich, missing: "drop" }], { links })).toEqual([...known, [], [], []]);
  expect(await made(orders, [{ ...enrich, missing: "keep" }], { links })).toEqual([
    ...[...known, [{ customer: "eve" }], [{}], [5]],
  ]);
  faults.unavailable = () => "before";
  await expect(made(orders, [{ ...enrich, missing: "keep" }], { links })).rejects.toMatchObject({
    kind: "unavailable",
  });
});

test("the user's links and settings reach operators; a file with neither is told", async () => {
  const operator: OperatorModule = {
    operator: (_: EtlRecord, { links, settings }: { readonly links: object; readonly settings: object }) => ({
      links: Object.keys(links),
      settings,
    }),
  };
  expect(await made(values(1), [operator], { links: { "user.rates": {}, to: {} }, user: { a: 1 } })).toEqual([
    [{ links: ["rates"], settings: { a: 1 } }],
  ]);
  await expect(made(values(1), [{}])).rejects.toThrow(/exports neither "operator" nor "batch"/);
});
