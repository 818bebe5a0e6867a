import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { expect, test } from "vitest";
import { sql } from "../../lib/shared/mapreduce/sql.ts";
import { type FlowOptions, outputOf, runAll, world } from "../handlers/mapreduce/world.ts";

const MIB = 2 ** 20;
const SIZE = 3 * 2 ** 30;
/** What the process may hold: blocks that are read, pairs, and DuckDB's own memory. */
const MOST_MEMORY = 1536 * MIB;

/** Rows of which two of three hold line breaks, quotes or what looks like the start of another row. */
function rowOf(index: number): string {
  const kind = `kind ${Math.imul(index, 2_654_435_761) >>> 22}`;
  const amount = index % 1000;
  if (index % 3 === 0) return `${index},${kind},${amount},plain text ${index}`;
  const lines = `"line one, ""${index}""\r\n${index},${kind},7,not a row\n\nlast é漢"`;
  return index % 3 === 1
    ? `${index},${kind},${amount},${lines}`
    : `${index},"${kind}",${amount},"\n${"x".repeat(index % 400)}\n"`;
}

function writeRows(file: string): void {
  const handle = openSync(file, "w");
  let index = 0;
  for (let written = writeSync(handle, "id,kind,amount,note\r\n"); written < SIZE; ) {
    const rows: string[] = [];
    for (const end = index + 20_000; index < end; index += 1) rows.push(rowOf(index));
    written += writeSync(handle, `${rows.join("\n")}\n`);
  }
  closeSync(handle);
}

/** Sums by kind, as DuckDB finds them in the whole file. */
async function expected(file: string) {
  const instance = await DuckDBInstance.create(":memory:", { memory_limit: "1GB", threads: "1" });
  const connection = await instance.connect();
  const columns = "{id: 'BIGINT', kind: 'VARCHAR', amount: 'BIGINT', note: 'VARCHAR'}";
  const reader = `read_csv('${file}', skip = 1, header = false, auto_detect = false, strict_mode = false, delim = ',', quote = '"', escape = '"', parallel = false, columns = ${columns})`;
  const rows = await connection.runAndReadAll(
    `SELECT kind, count(*)::INT AS rows, sum(amount)::DOUBLE AS sum FROM ${reader} GROUP BY kind`,
  );
  const found = rows
    .getRowObjectsJson()
    .map((row) => ({ kind: String(row.kind), rows: Number(row.rows), sum: Number(row.sum) }));
  connection.closeSync();
  instance.closeSync();
  return {
    rows: found.reduce((all, one) => all + one.rows, 0),
    sums: Object.fromEntries(found.map(({ kind, sum }) => [kind, sum])),
  };
}

function total(_: string, values: Iterable<number>): number {
  let all = 0;
  for (const value of values) all += value;
  return all;
}

const FLOWS: Readonly<Record<string, FlowOptions>> = {
  code: {
    mapper: {
      mapper: ({ kind, amount }: { readonly kind: string; readonly amount: string }) => [[kind, Number(amount)]],
    },
    combiner: { combiner: total },
    reducer: { reducer: total },
  },
  SQL: {
    mapper: sql("SELECT kind AS key, sum(amount) AS value FROM records GROUP BY 1", { columns: { amount: "BIGINT" } }),
    reducer: sql("SELECT key, sum(value) AS value FROM pairs GROUP BY key"),
  },
};

test.each(Object.entries(FLOWS))("3 GB of CSV with quoted line breaks, cut anywhere, in %s", async (_, flow) => {
  const made = world({ ...flow, format: { csv: {} }, shardSize: 64 * MIB, partitions: 8 });
  const file = join(made.folder, "rows.csv");
  writeRows(file);
  const { rows, sums } = await expected(file);
  expect(rows).toBeGreaterThan(SIZE / 300);
  await made.input.putFile("rows.csv", file);
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 50);
  try {
    const result = await runAll(made);
    expect(result).toMatchObject({ records: rows, skipped: 0, keys: Object.keys(sums).length });
    expect(await outputOf(made, result)).toEqual(sums);
  } finally {
    clearInterval(watch);
  }
  expect(most).toBeLessThan(MOST_MEMORY);
});
