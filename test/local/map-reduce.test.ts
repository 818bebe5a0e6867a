import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import { expect, onTestFinished, test } from "vitest";
import type { BucketClient, LocalClient } from "../../lib/clouds/local/client.ts";
import type { Manifest } from "../../lib/handlers/mapreduce/commit.ts";
import { isOver, type WorkflowHistory } from "../../lib/runtime/workflows/run.ts";
import { startLocal } from "../../lib/testing/index.ts";
import { startDevProcess } from "./dev-process.ts";
import { scene } from "./scene.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const example = fileURLToPath(new URL("../../examples/map-reduce-flow/index.ts", import.meta.url));

const over = async ({ workflows }: LocalClient, flow: string, id: string): Promise<WorkflowHistory> => {
  for (;;) {
    const found = await workflows.get(flow, id);
    if (found && isOver(found.run.status)) return found;
    await pause(50);
  }
};

async function runOf(cloud: LocalClient, construct: string, id: string, input: object = {}): Promise<WorkflowHistory> {
  await cloud.workflows.start(`${construct}-flow`, input, { id });
  return over(cloud, `${construct}-flow`, id);
}

const textIn = async (bucket: BucketClient, key: string): Promise<string> =>
  new TextDecoder().decode(await bucket.get(key));

interface Pair {
  readonly key: string;
  readonly value: unknown;
}

/** The pairs of a run, as its manifest says where they are. */
async function pairsOf(cloud: LocalClient, construct: string, run: string): Promise<readonly Pair[]> {
  const output = cloud.buckets.bucket(`${construct}-output`);
  const { parts } = JSON.parse(await textIn(output, `${run}/manifest.json`)) as Manifest;
  const texts = await Promise.all(parts.map(({ key }) => textIn(output, key)));
  return texts.flatMap((text) => text.split("\n").slice(0, -1)).map((line) => JSON.parse(line) as Pair);
}

const recordOf = (pairs: readonly Pair[]): Record<string, unknown> =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, value]));

/** Lines of words, the same for a seed, and how often each word is in them. */
function texts(seed: number, lines: number) {
  const counts: Record<string, number> = {};
  let state = seed;
  const word = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const name = `w${(state >>> 8) % 5000}`;
    counts[name] = (counts[name] ?? 0) + 1;
    return name;
  };
  const line = () => Array.from({ length: 20 }, word).join(" ");
  return { text: Array.from({ length: lines }, line).join("\n"), counts };
}

const together = (...all: readonly Record<string, number>[]): Record<string, number> => {
  const sums: Record<string, number> = {};
  for (const counts of all) for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
  return sums;
};

test("the example: words of several objects, counts by type, sessions from logs, an empty input", async () => {
  await using cloud = await startLocal({ program: example, project });
  const [words, counts, sessions] = ["words", "counts", "sessions"].map((name) =>
    cloud.buckets.bucket(`${name}-input`),
  ) as [BucketClient, BucketClient, BucketClient];

  expect(await runOf(cloud, "words", "empty")).toMatchObject({
    run: { status: "succeeded" },
    output: { records: 0, parts: 0, manifest: "empty/manifest.json" },
  });

  const [large, small, packed] = [texts(1, 30_000), texts(2, 10), texts(3, 1000)];
  await words.put("a.txt", large.text);
  await words.put("b.txt", small.text);
  await words.put("c.txt.gz", gzipSync(packed.text));
  await words.put("d.png", "no text");
  await counts.put("a.jsonl", '{"type":"login"}\n{"type":"logout"}\n{"type":"login","count":5}\n');
  const rows = Array.from({ length: 20_000 }, (_, index) => {
    const time = new Date(Date.UTC(2026, 0, 1, 0, index % 1000)).toISOString();
    return `u${index % 20},${index === 77 ? "never" : time},"/page,\n""${index}"""`;
  });
  await sessions.put("log.csv", `user,time,path\r\n${rows.join("\r\n")}\r\n`);

  const [ofWords, ofCounts, ofSessions] = await Promise.all([
    runOf(cloud, "words", "run"),
    runOf(cloud, "counts", "run"),
    runOf(cloud, "sessions", "run"),
  ]);
  expect(ofWords).toMatchObject({ run: { status: "succeeded" }, output: { records: 31_010, parts: 3, skipped: 0 } });
  expect(recordOf(await pairsOf(cloud, "words", "run"))).toEqual(together(large.counts, small.counts, packed.counts));
  expect(ofWords.steps.filter(({ step }) => step === "map").length).toBeGreaterThan(3);
  expect(ofCounts.run).toMatchObject({ status: "succeeded" });
  expect(recordOf(await pairsOf(cloud, "counts", "run"))).toEqual({ login: 6, logout: 1 });
  expect(ofSessions).toMatchObject({ run: { status: "succeeded" }, output: { records: 19_999, skipped: 1, keys: 20 } });
  // Each came every 20 minutes, 20 times at once, from the first hour of the day on.
  const sessionsOf = (await pairsOf(cloud, "sessions", "run")).filter(({ key }) => key === "u0");
  expect(sessionsOf).toEqual([
    { key: "u0", value: { began: "2026-01-01T00:00:00.000Z", ended: "2026-01-01T16:20:00.000Z", hits: 1000 } },
  ]);
  for (const name of ["words", "counts", "sessions"]) {
    expect((await cloud.buckets.bucket(`${name}-work`).list()).objects).toEqual([]);
  }
}, 60_000);

test("the example: CSV becomes Parquet in SQL, and nothing is lost when mappers and reducers are killed", async () => {
  await using cloud = await startLocal({ program: example, project });
  const lines = Array.from({ length: 30_000 }, (_, index) => {
    const placed = new Date(Date.UTC(2026, 0, 1, 0, 0, index)).toISOString();
    const amount = index === 13 ? "much" : ((index % 1000) / 4).toFixed(2);
    return `${index},"customer ${index % 50},\n${index % 7}",${placed},C${index % 11},${amount}`;
  });
  await cloud.buckets.bucket("orders-input").put("a.csv", `id,customer,placed,country,amount\n${lines.join("\n")}\n`);
  cloud.fault({ at: "bucket.put", part: "orders-work", times: 1, kill: true });
  cloud.fault({ at: "bucket.put", part: "orders-output", times: 1, when: "after", kill: true });
  const { run, output: told } = await runOf(cloud, "orders", "run");
  expect(run).toMatchObject({ status: "succeeded" });
  expect(told).toMatchObject({ records: 29_999, pairs: 29_969, keys: 11, skipped: 1 });

  const folder = mkdtempSync(join(tmpdir(), "millrace-parquet-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const output = cloud.buckets.bucket("orders-output");
  const { parts } = JSON.parse(await textIn(output, "run/manifest.json")) as Manifest;
  for (const [index, { key }] of parts.entries()) {
    writeFileSync(join(folder, `${index}.parquet`), await output.get(key));
  }
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const found = await connection.runAndReadAll(`
    SELECT count(*) AS rows, sum(id) AS ids, sum(amount) AS amount, max(spent) AS spent, typeof(any_value(placed)) AS type
    FROM read_parquet('${folder}/*.parquet')`);
  connection.closeSync();
  instance.closeSync();
  const all = Array.from({ length: 30_000 }, (_, index) => index).filter((id) => id !== 13 && id % 1000 > 0);
  const spent = new Map<string, number>();
  for (const id of all) {
    const of = `${id % 50} ${id % 7} ${id % 11}`;
    spent.set(of, (spent.get(of) ?? 0) + (id % 1000) / 4);
  }
  expect(found.getRowObjectsJson()).toEqual([
    {
      rows: String(all.length),
      ids: String(all.reduce((sum, id) => sum + id, 0)),
      amount: all.reduce((sum, id) => sum + (id % 1000) / 4, 0).toFixed(2),
      spent: Math.max(...spent.values()).toFixed(2),
      type: "TIMESTAMP",
    },
  ]);
}, 60_000);

test("mappers and reducers that are killed are begun again, and nothing counts twice", async () => {
  await using cloud = await startLocal({ program: example, project });
  const { text, counts } = texts(4, 20_000);
  await cloud.buckets.bucket("words-input").put("a.txt", text);
  for (const id of ["one", "two", "three"]) {
    // No step is killed three times, which would be its last attempt.
    cloud.fault({ at: "bucket.put", part: "words-work", times: 1, rate: 0.3, kill: true });
    cloud.fault({ at: "bucket.put", part: "words-work", times: 1, rate: 0.3, when: "after", kill: true });
    cloud.fault({ at: "bucket.put", part: "words-output", times: 1, rate: 0.7, when: "after", kill: true });
    const { run, output } = await runOf(cloud, "words", id);
    expect(run).toMatchObject({ status: "succeeded" });
    expect(output).toMatchObject({ records: 20_000 });
    expect(recordOf(await pairsOf(cloud, "words", id))).toEqual(counts);
  }
}, 60_000);

test("a record that nothing can be made of fails the run, which writes nothing", async () => {
  await using cloud = await startLocal({ program: example, project });
  const input = cloud.buckets.bucket("counts-input");
  await input.put("a.jsonl", '{"type":"a"}\nno JSON\n');
  const failed = await runOf(cloud, "counts", "run");
  expect(failed.run).toMatchObject({
    status: "failed",
    error: { kind: "bad-input", message: expect.stringContaining("a.jsonl: the record at byte 13 failed") },
  });
  expect((await cloud.buckets.bucket("counts-output").list()).objects).toEqual([]);
  await input.put("a.jsonl", '{"type":"a"}\n');
  // The run's plan is of the object it found; another run finds the new one.
  await cloud.workflows.retry("counts-flow", "run");
  expect((await over(cloud, "counts-flow", "run")).run.error?.message).toContain(
    "a.jsonl changed while the run read it",
  );
  expect(await runOf(cloud, "counts", "again")).toMatchObject({ run: { status: "succeeded" }, output: { records: 1 } });
}, 60_000);

test("after kill -9 of everything, in any step, the run goes on and comes to the same", async () => {
  const stage = scene();
  const { text, counts } = texts(5, 20_000);
  const moments = ["map", "reduce"];
  for (const [index, step] of [...moments, undefined].entries()) {
    const dev = startDevProcess(stage, { program: example });
    onTestFinished(() => void dev.child.kill("SIGKILL"));
    await dev.ready;
    const { workflows, buckets } = dev.client;
    if (index === 0) {
      await buckets.bucket("words-input").put("a.txt", text);
      await workflows.start("words-flow", {}, { id: "run" });
    }
    if (step === undefined) {
      expect(await over(dev.client, "words-flow", "run")).toMatchObject({ run: { status: "succeeded" } });
      expect(recordOf(await pairsOf(dev.client, "words", "run"))).toEqual(counts);
      await dev.end("SIGINT");
      continue;
    }
    const begun = async () => (await workflows.get("words-flow", "run"))?.steps.some((one) => one.step === step);
    await expect.poll(begun, { timeout: 30_000, interval: 20 }).toBe(true);
    await dev.end("SIGKILL");
  }
}, 90_000);

test("in Python: what is printed is no answer, and a record that fails or kills the worker is left out", async () => {
  const program = fileURLToPath(new URL("./programs/map-reduce-stack.ts", import.meta.url));
  await using cloud = await startLocal({ program, project });
  const { text, counts } = texts(6, 2000);
  const lines = text.split("\n");
  await cloud.buckets
    .bucket("python-input")
    .put("a.txt", [...lines.slice(0, 500), "raise", ...lines.slice(500)].join("\n"));
  await cloud.buckets.bucket("python-input").put("b.txt", "one two\ndie\none");
  const { run, output } = await runOf(cloud, "python", "run");
  expect(run).toMatchObject({ status: "succeeded" });
  expect(output).toMatchObject({ records: 2002, skipped: 2 });
  expect(recordOf(await pairsOf(cloud, "python", "run"))).toEqual(together(counts, { one: 2, two: 1 }));
}, 60_000);
