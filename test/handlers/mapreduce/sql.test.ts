import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import { expect, test } from "vitest";
import { Duck } from "../../../lib/handlers/mapreduce/sql/duck.ts";
import { sql } from "../../../lib/shared/mapreduce/sql.ts";
import { type FlowOptions, keysIn, manifestOf, outputOf, runAll, type World, world } from "./world.ts";

function sum(_: string, values: Iterable<number>): number {
  let all = 0;
  for (const value of values) all += value;
  return all;
}
const WORDS = sql(`
  SELECT word AS key, count(*) AS value
  FROM (SELECT unnest(string_split_regex(line, '\\s+')) AS word FROM records) WHERE word <> '' GROUP BY word;`);
const TOTAL = sql("SELECT key, sum(value) AS value FROM pairs GROUP BY key");

/** Lines of words, always the same for a seed. */
function textOf(seed: number, lines: number, end = "\n"): string {
  let state = seed;
  const next = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const line = () => Array.from({ length: next(12) }, () => `w${next(next(400) + 1)}`).join(" ");
  return Array.from({ length: lines }, line).join(end);
}

function countOf(texts: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const word of texts.flatMap((text) => text.split(/\s+/))) {
    if (word !== "") counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

test.each<[string, Partial<FlowOptions>]>([
  ["in SQL and SQL", {}],
  ["in SQL and code, with a combiner", { reducer: { reducer: sum }, combiner: { combiner: sum } }],
  ["in SQL and code, with pairs written early", { reducer: { reducer: sum }, buffer: 2000 }],
  [
    "in code and SQL",
    {
      mapper: { mapper: (line: string) => line.split(/\s+/).flatMap((word) => (word ? [[word, 1] as const] : [])) },
      reducer: sql(TOTAL.sql, { columns: { value: "BIGINT" } }),
    },
  ],
])("words of several objects are counted %s", async (_, more) => {
  const made = world({ mapper: WORDS, reducer: TOTAL, shardSize: 10_000, ...more });
  const texts = [textOf(1, 3000), textOf(2, 10), textOf(3, 2000), `\uFEFF${textOf(4, 100)}\n`, textOf(5, 500, "\r\n")];
  for (const [index, text] of texts.entries()) {
    await made.input.put(index === 2 ? "in/2.txt.gz" : `in/${index}.txt`, index === 2 ? gzipSync(text) : text);
  }
  const result = await runAll(made);
  const expected = countOf(texts.map((text) => text.replace("\uFEFF", "")));
  expect(await outputOf(made, result)).toEqual(expected);
  const manifest = await manifestOf(made, result);
  const records = texts.reduce((all, text) => all + text.split("\n").length - (text.endsWith("\n") ? 1 : 0), 0);
  expect(manifest).toMatchObject({ records, keys: Object.keys(expected).length, skipped: 0 });
  for (const { key, size, records: lines } of manifest.parts) {
    const bytes = Buffer.from(await made.outputs.get(key));
    expect([bytes.length, bytes.toString().split("\n").length - 1]).toEqual([size, lines]);
  }
  expect(await keysIn(made.work)).toEqual([]);
});

test("CSV is cut anywhere, line breaks in quotes too; objects may have their columns in any order", async () => {
  const rows = Array.from({ length: 500 }, (_, index) => ({
    id: index,
    text: index % 3 === 0 ? `line one, "${index}"\r\nline\n\ntwo` : `plain ${index}`,
    amount: index % 7 === 0 ? "" : String(index),
  }));
  const quoted = (text: string) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = rows.map(({ id, text, amount }) => [id, quoted(text), amount].join(","));
  const made = world({
    format: { csv: {} },
    shardSize: 1777,
    mapper: sql("SELECT id AS key, text, amount FROM records", { columns: { id: "INTEGER", amount: "BIGINT" } }),
    reducer: sql("SELECT * FROM pairs"),
  });
  await made.input.put("a.csv", `id,text,amount\n${lines.join("\n")}\n`);
  await made.input.put("b.csv.gz", gzipSync("amount,id,text\n9,1000,z"));
  await made.input.put("c.csv", "id,text,amount");
  const result = await runAll(made);
  const found = (await linesOf(made, result)) as { readonly key: number }[];
  found.sort((one, other) => one.key - other.key);
  expect(found).toEqual([
    ...rows.map(({ id, text, amount }) => ({ key: id, text, amount: amount === "" ? null : Number(amount) })),
    { key: 1000, text: "z", amount: 9 },
  ]);
  expect(result.records).toBe(501);
});

async function linesOf(made: World, result: { readonly manifest: string }): Promise<readonly unknown[]> {
  const { parts } = await manifestOf(made, result);
  const texts = await Promise.all(parts.map(async ({ key }) => new TextDecoder().decode(await made.outputs.get(key))));
  return texts.flatMap((text) => text.split("\n").slice(0, -1)).map((line) => JSON.parse(line) as unknown);
}

const AMOUNTS = {
  format: "jsonl",
  mapper: sql("SELECT user AS key, sum(amount) AS value FROM records GROUP BY 1", {
    columns: { user: "VARCHAR", amount: "BIGINT" },
  }),
  reducer: TOTAL,
} as const;

test("records that are none, or hold what their column cannot, are left out and counted, with their place", async () => {
  const good = Array.from({ length: 2000 }, (_, index) => JSON.stringify({ user: `u${index % 3}`, amount: 1 }));
  const lines = [...good.slice(0, 700), "no JSON", ...good.slice(700), '{"user":"u0","amount":"many"}', "[1]", ""];
  const made = world({ ...AMOUNTS, shardSize: 10_000, skips: 3 });
  await made.input.put("a.jsonl", lines.join("\n"));
  const result = await runAll(made);
  expect(result).toMatchObject({ records: 2000, skipped: 3 });
  expect(await outputOf(made, result)).toEqual({ u0: 667, u1: 667, u2: 666 });
  const { bad } = await manifestOf(made, result);
  const text = lines.join("\n");
  expect(bad.map(({ offset }) => offset).sort((one, other) => one - other)).toEqual(
    ["no JSON", '{"user":"u0","amount":"many"}', "[1]"].map((line) => text.indexOf(line)),
  );
  const strict = world({ ...AMOUNTS, skips: 2 });
  await strict.input.put("a.jsonl", text);
  await expect(runAll(strict)).rejects.toMatchObject({
    kind: "bad-input",
    message: expect.stringContaining("3 failed, 2 may be skipped"),
  });
});

test.each([
  ["SELEC 1", "syntax error"],
  ["SELECT 1; SELECT 2", "one SELECT is wanted"],
  ["DROP VIEW records", "one SELECT is wanted"],
  ["SELECT user FROM records", "no key"],
  ["SELECT nobody AS key FROM records", "nobody"],
  ["SELECT user AS key, CAST(user AS INTEGER) AS value FROM records", "Could not convert"],
  ["SELECT content AS key FROM read_text('/etc/hostname')", "Permission Error"],
  ["SELECT * AS key FROM read_csv('https://example.com/a.csv')", "Error"],
])("a query that is wrong fails the run, and is not tried again: %s", async (query, message) => {
  const made = world({ ...AMOUNTS, mapper: sql(query, { columns: { user: "VARCHAR" } }) });
  await made.input.put("a.jsonl", '{"user":"x"}\n');
  await made.steps.split("run");
  await expect(made.steps.map("run", 0)).rejects.toMatchObject({
    kind: "bad-input",
    message: expect.stringContaining(message),
  });
});

test("DuckDB sees its own folder and nothing else, whoever asks", async () => {
  const { folder } = world(AMOUNTS);
  writeFileSync(join(folder, "secret.csv"), "a\n1\n");
  mkdirSync(join(folder, "scratch"));
  const duck = await Duck.open(join(folder, "scratch"), { memory: 2 ** 28, threads: 1 }, new AbortController().signal);
  try {
    for (const statement of [
      `SELECT * FROM read_csv('${folder}/secret.csv')`,
      `SELECT * FROM read_csv('${duck.folder}/../../secret.csv')`,
      `SELECT * FROM glob('${folder}/*')`,
      `COPY (SELECT 1) TO '${folder}/stolen.csv'`,
      `ATTACH '${folder}/other.db'`,
      "INSTALL httpfs",
      "LOAD httpfs",
      "SET enable_external_access = true",
      `SET allowed_directories = ['${folder}/']`,
      "SET memory_limit = '100GB'",
    ]) {
      const rows = await duck.rows(statement).catch((error: unknown) => String(error));
      expect.soft(rows, statement).toMatch(/Permission|cannot be|Cannot change|configuration/i);
    }
    expect(existsSync(join(folder, "stolen.csv"))).toBe(false);
  } finally {
    duck.close();
  }
});

test("a large query ends when the invocation does", async () => {
  const { folder, stop } = world(AMOUNTS);
  const duck = await Duck.open(folder, { memory: 2 ** 28, threads: 1 }, stop.signal);
  const endless = duck.rows("SELECT count(*) FROM range(1000000000000) a WHERE hash(a.range) = 1");
  setTimeout(() => stop.abort(new Error("stopped")), 100);
  await expect(endless).rejects.toThrow("stopped");
  duck.close();
});

/** What DuckDB, told nothing of how the files were made, finds in them. */
async function found(files: readonly string[], query: string): Promise<unknown> {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const list = `[${files.map((file) => `'${file}'`).join(", ")}]`;
  const rows = (await connection.runAndReadAll(query.replaceAll("FILES", list))).getRowObjectsJson();
  connection.closeSync();
  instance.closeSync();
  return rows;
}

/** A file of Parquet as another program writes it. */
async function parquet(folder: string, query: string, options = ""): Promise<Buffer> {
  const file = join(folder, "made.parquet");
  await found([], `COPY (${query}) TO '${file}' (FORMAT parquet${options})`);
  return readFileSync(file);
}

test("CSV becomes Parquet: rows, sums, types and order are what they were", async () => {
  const made = world({
    format: { csv: { columns: ["id", "user", "amount"] } },
    shardSize: 60_000,
    partitions: 4,
    mapper: sql("SELECT user AS key, * FROM records", {
      columns: { id: "BIGINT", amount: "DECIMAL(10, 2)" },
    }),
    reducer: sql("SELECT * EXCLUDE key, sum(id) OVER () AS total FROM pairs ORDER BY id"),
    outputFormat: "parquet",
  });
  const row = (index: number) => `${index},u${index % 97},${(index % 1000) / 4}`;
  await made.input.put("a.csv", Array.from({ length: 20_000 }, (_, index) => row(index)).join("\n"));
  const result = await runAll(made);
  expect(result).toMatchObject({ records: 20_000, pairs: 20_000, keys: 97, parts: 4 });
  const { parts } = await manifestOf(made, result);
  const files = await Promise.all(parts.map(({ key }) => made.outputs.file(key)));
  expect(parts.every(({ key }) => key.endsWith(".parquet"))).toBe(true);
  const query = `SELECT count(*) AS n, sum(id) AS ids, sum(amount) AS amounts, count(DISTINCT user) AS users,
    typeof(any_value(amount)) AS type, typeof(any_value(total)) AS total FROM read_parquet(FILES)`;
  expect(await found(files, query)).toEqual([
    {
      n: "20000",
      ids: String((20_000 * 19_999) / 2),
      amounts: ((20 * (1000 * 999)) / 2 / 4).toFixed(2),
      users: "97",
      type: "DECIMAL(10,2)",
      // Parquet has no integers of 128 bits: they are no floats either.
      total: "DECIMAL(38,0)",
    },
  ]);
  expect(parts.reduce((all, { records }) => all + records, 0)).toBe(20_000);
  // All of a user lie together, in their order.
  for (const file of files) {
    const [{ sorted }] = (await found(
      [file],
      "SELECT list(id) = list_sort(list(id)) AS sorted FROM read_parquet(FILES)",
    )) as [{ readonly sorted: boolean }];
    expect(sorted).toBe(true);
  }
});

test.each<[string, Partial<FlowOptions>]>([
  ["by SQL", { mapper: sql("SELECT name AS key, sum(id) AS value FROM records WHERE name <> 'n3' GROUP BY 1") }],
  [
    "by code",
    {
      mapper: {
        mapper: ({ id, name }: { readonly id: number; readonly name: string }) => (name === "n3" ? [] : [[name, id]]),
      },
      reducer: { reducer: sum },
    },
  ],
])("Parquet is read by row groups, each once, %s", async (_, more) => {
  const made = world({ format: "parquet", shardSize: 20_000, mapper: WORDS, reducer: TOTAL, ...more });
  const numbers = (from: number, to: number) =>
    `SELECT range AS id, 'n' || (range % 10) AS name FROM range(${from}, ${to})`;
  const codecs = ["snappy", "zstd", "gzip"];
  for (const [index, codec] of codecs.entries()) {
    const query = numbers(index * 20_000, (index + 1) * 20_000);
    await made.input.put(
      `${codec}.parquet`,
      await parquet(made.folder, query, `, COMPRESSION ${codec}, ROW_GROUP_SIZE 4096`),
    );
  }
  await made.input.put("small.parquet", await parquet(made.folder, numbers(60_000, 60_010)));
  await made.input.put("none.parquet", await parquet(made.folder, numbers(0, 0)));
  const { shards } = await made.steps.split("run");
  expect(shards.length).toBeGreaterThan(4);
  const result = await runAll(made);
  const expected = Object.fromEntries(
    Array.from({ length: 10 }, (_, digit) => [`n${digit}`, (6001 * (digit + 60_000 + digit)) / 2]),
  );
  delete expected.n3;
  expect(await outputOf(made, result)).toEqual(expected);
  expect(result).toMatchObject({ records: 60_010, skipped: 0, keys: 9 });
});

test("what is no Parquet, or is another one by now, is told so", async () => {
  const made = world({ format: "parquet", mapper: sql("SELECT 1 AS key FROM records"), reducer: TOTAL });
  await made.input.put("a.parquet", "no Parquet at all, but longer than its least");
  await expect(made.steps.split("one")).rejects.toMatchObject({
    kind: "bad-input",
    message: expect.stringContaining("a.parquet is no file of Parquet"),
  });
  const bytes = await parquet(made.folder, "SELECT range AS id FROM range(5000)");
  // Any byte of the footer may be wrong: it is read, or refused in words.
  for (let at = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8); at < bytes.length; at += 3) {
    const broken = Buffer.from(bytes);
    broken[at] = broken[at]! ^ 0x55;
    await made.input.put("a.parquet", broken);
    const outcome = await made.steps.split(`broken-${at}`).catch((error: unknown) => error);
    if (outcome instanceof Error) expect(outcome).toMatchObject({ kind: "bad-input" });
  }
  await made.input.put("a.parquet", bytes);
  await made.steps.split("two");
  await made.input.put("a.parquet", await parquet(made.folder, "SELECT range AS id FROM range(6000)"));
  await expect(made.steps.map("two", 0)).rejects.toMatchObject({ kind: "bad-input" });
});

test("integers of any size come through, and a key may be of any type or nothing", async () => {
  const made = world({
    format: "jsonl",
    mapper: sql(
      "SELECT CASE WHEN n % 2 = 0 THEN [n % 4] END AS key, n::HUGEINT * 10000000000000000000000 AS large FROM records",
      {
        columns: { n: "BIGINT" },
      },
    ),
    reducer: sql("SELECT key, sum(large)::VARCHAR AS sum FROM pairs GROUP BY key"),
  });
  await made.input.put("a.jsonl", Array.from({ length: 8 }, (_, n) => JSON.stringify({ n })).join("\n"));
  const result = await runAll(made);
  const lines = (await linesOf(made, result)) as { readonly key: unknown; readonly sum: string }[];
  expect(new Map(lines.map(({ key, sum }) => [JSON.stringify(key), sum]))).toEqual(
    new Map([
      ["null", `16${"0".repeat(22)}`],
      ["[0]", `4${"0".repeat(22)}`],
      ["[2]", `8${"0".repeat(22)}`],
    ]),
  );
  expect(result).toMatchObject({ keys: 3, pairs: 8 });
});

test("an attempt that died between its output and its word of it changes nothing, in Parquet too", async () => {
  const made = world({ ...AMOUNTS, partitions: 1, outputFormat: "parquet" });
  await made.input.put("a.jsonl", '{"user":"a","amount":1}\n{"user":"b","amount":2}\n');
  await made.steps.split("run");
  await made.steps.map("run", 0);
  await made.steps.gather("run");
  const dies = { put: () => Promise.reject(new Error("died")) };
  await expect(made.steps.reduce("run", 0, dies)).rejects.toThrow("died");
  await made.steps.reduce("run", 0);
  const { parts } = await manifestOf(made, await made.steps.commit("run"));
  expect(parts).toMatchObject([{ records: 2, key: "run/part-00000.parquet" }]);
});
