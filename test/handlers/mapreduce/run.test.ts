import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { Reducer } from "../../../lib/handlers/mapreduce/user-code.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import { type FlowOptions, keysIn, manifestOf, outputOf, runAll, world } from "./world.ts";

function* words(line: string): Generator<readonly [string, number]> {
  for (const word of line.split(/\s+/)) if (word !== "") yield [word, 1];
}

function sum(_: string, values: Iterable<number>): number {
  let all = 0;
  for (const value of values) all += value;
  return all;
}

const COUNT: FlowOptions = { mapper: { mapper: words }, combiner: { combiner: sum }, reducer: { reducer: sum } };

/** Lines of words, always the same for a seed. */
function textOf(seed: number, lines: number): string {
  let state = seed;
  const next = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const line = () => Array.from({ length: next(12) }, () => `w${next(next(400) + 1)}`).join(" ");
  return Array.from({ length: lines }, line).join("\n");
}

function countOf(texts: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const word of texts.flatMap((text) => text.split(/\s+/))) {
    if (word !== "") counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

test.each([
  ["in one go", {}],
  ["in many shards", { shardSize: 5000 }],
  ["with pairs written early", { shardSize: 50_000, buffer: 2000 }],
  ["without a combiner, by one reducer", { combiner: undefined, partitions: 1, shardSize: 20_000 }],
  ["by more reducers than words", { partitions: 997 }],
])(
  "words of several objects are counted %s",
  async (_, { combiner = COUNT.combiner, ...more }: Partial<FlowOptions>) => {
    const made = world({ ...COUNT, ...("combiner" in more ? {} : { combiner }), ...more });
    const texts = [textOf(1, 3000), textOf(2, 10), textOf(3, 2000)];
    await made.input.put("in/a.txt", texts[0]!);
    await made.input.put("in/b.txt", texts[1]!);
    await made.input.put("in/c.txt.gz", gzipSync(texts[2]!));
    const result = await runAll(made);
    expect(await outputOf(made, result)).toEqual(countOf(texts));
    const manifest = await manifestOf(made, result);
    expect(manifest.records).toBe(
      texts.reduce((all, text) => all + text.split("\n").length - (text.endsWith("\n") ? 1 : 0), 0),
    );
    expect(manifest.keys).toBe(Object.keys(countOf(texts)).length);
    // Nothing is left of what the run kept meanwhile, and nothing lies in the output that the manifest does not name.
    expect(await keysIn(made.work)).toEqual([]);
    expect([...(await keysIn(made.outputs))].sort()).toEqual(
      [result.manifest, ...manifest.parts.map(({ key }) => key)].sort(),
    );
  },
);

test("an empty input comes to an empty manifest", async () => {
  const made = world(COUNT);
  await made.input.put("empty", "");
  const result = await runAll(made);
  expect(result).toMatchObject({ records: 0, keys: 0, parts: 0 });
  expect(await manifestOf(made, result)).toMatchObject({ parts: [], records: 0 });
});

test("only what begins and ends so is read, and a run may name its own beginning", async () => {
  const made = world({ ...COUNT, prefix: "in/", suffixes: [".txt", ".log"] });
  for (const key of ["in/a.txt", "in/b.log", "in/c.csv", "other/a.txt"]) await made.input.put(key, key);
  expect(await outputOf(made, await runAll(made, "one"))).toEqual({ "in/a.txt": 1, "in/b.log": 1 });
  await made.steps.split("two", { prefix: "other/" });
  const { partitions } = await made.steps.map("two", 0).then(() => made.steps.gather("two"));
  for (const { partition } of partitions) await made.steps.reduce("two", partition);
  expect(await outputOf(made, await made.steps.commit("two"))).toEqual({ "other/a.txt": 1 });
});

test.each([
  [{ prefx: "other/" }, 'prefx: a run is started with nothing or { "prefix": "…" }, got "other/"'],
  [{ prefix: 3 }, 'prefix: a run is started with nothing or { "prefix": "…" }, got 3'],
  [["a.txt"], 'input: a run is started with nothing or { "prefix": "…" }, got ["a.txt"]'],
])("a run whose input is %j is refused, and reads nothing", async (input, message) => {
  const made = world(COUNT);
  await made.input.put("a.txt", "a");
  await expect(made.steps.split("one", input)).rejects.toMatchObject({ kind: "bad-input", message });
});

test("JSON lines and CSV are objects; keys of all kinds come through, and so do values", async () => {
  const list: Reducer<unknown> = (_, values) => [...values];
  const keys = ["", "tab\tand\nbreak", '"quotes"\\', "ü漢🎈", "\uD800", "__proto__", "k".repeat(3000)];
  const made = world({
    format: "jsonl",
    mapper: { mapper: (record: { key: string; value: unknown }) => [[record.key, record.value]] },
    reducer: { reducer: list },
  });
  const values = [null, false, 0, "\t\n,", { a: [1, { b: "é" }] }, [], 1e300];
  const lines = keys.map((key, index) => JSON.stringify({ key, value: values[index] }));
  await made.input.put("a.jsonl", `${lines.join("\n")}\n\n  \n`);
  const found = await outputOf(made, await runAll(made));
  expect(Object.entries(found).sort()).toEqual(keys.map((key, index) => [key, [values[index]]] as const).sort());
});

test("CSV is cut anywhere, line breaks in quotes too, and each piece knows the columns", async () => {
  const rows = Array.from({ length: 500 }, (_, index) => ({
    id: String(index),
    text: index % 3 === 0 ? `line one, "${index}"\r\nline\n\ntwo` : `plain ${index}`,
    type: `t${index % 7}`,
  }));
  const quoted = (text: string) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = rows.map(({ id, text, type }) => [id, quoted(text), type].join(","));
  const csv = `id,text,type\n${lines.join("\n")}\n`;
  const made = world({
    format: { csv: {} },
    shardSize: 777,
    mapper: { mapper: (row: (typeof rows)[number]) => [[row.id, row]] },
    reducer: { reducer: (_: string, values: Iterable<unknown>) => [...values] },
  });
  await made.input.put("a.csv", csv);
  await made.input.put("b.csv.gz", gzipSync("type,id\nzip,z\n"));
  const result = await runAll(made);
  const expected = Object.fromEntries(rows.map((row) => [row.id, [row]]));
  expect(await outputOf(made, result)).toEqual({ ...expected, z: [{ type: "zip", id: "z" }] });
});

test("a record larger than a shard is one mapper's", async () => {
  const made = world({ ...COUNT, shardSize: 1000 });
  const text = `a b\n${"long ".repeat(2000)}\nc\n${"x".repeat(5000)}`;
  await made.input.put("a.txt", text);
  expect(await outputOf(made, await runAll(made))).toEqual(countOf([text]));
});

test("a reducer may yield several values, or nothing", async () => {
  const made = world({
    ...COUNT,
    reducer: {
      *reducer(key: string, values: Iterable<number>) {
        if (key === "none") return;
        for (const value of values) yield value;
        yield "end";
      },
    },
    combiner: undefined,
    partitions: 1,
  } as FlowOptions);
  await made.input.put("a.txt", "one none one none");
  const { parts } = await manifestOf(made, await runAll(made));
  expect(new TextDecoder().decode(await made.outputs.get(parts[0]!.key))).toBe(
    '{"key":"one","value":1}\n{"key":"one","value":1}\n{"key":"one","value":"end"}\n',
  );
  expect(parts[0]).toMatchObject({ records: 3, size: 76 });
});

test("attempts that are repeated, or at work twice at once, change nothing", async () => {
  const made = world({ ...COUNT, shardSize: 5000 });
  const text = textOf(7, 2000);
  await made.input.put("a.txt", text);
  const { steps } = made;
  const { shards } = await steps.split("run");
  // What comes later is not this run's.
  await made.input.put("b.txt", "late late late");
  expect(await steps.split("run")).toMatchObject({ shards });
  await Promise.all(shards.flatMap(({ shard }) => [steps.map("run", shard), steps.map("run", shard)]));
  const once = await steps.gather("run");
  await steps.map("run", 0);
  expect(await steps.gather("run")).toEqual(once);
  const pairsOf = async () => (await keysIn(made.work)).filter((key) => key.startsWith("run/map/"));
  expect(await pairsOf()).toHaveLength(shards.length);
  const twice = once.partitions.flatMap(({ partition }) => [
    steps.reduce("run", partition),
    steps.reduce("run", partition),
  ]);
  const ends = await Promise.allSettled(twice);
  for (const [index, { partition }] of once.partitions.entries()) {
    expect(ends.slice(index * 2, index * 2 + 2).some(({ status }) => status === "fulfilled")).toBe(true);
    await steps.reduce("run", partition);
  }
  const result = await steps.commit("run");
  expect(await steps.commit("run")).toEqual(result);
  expect(await outputOf(made, result)).toEqual(countOf([text]));
});

test("attempts that end in the middle leave nothing that counts", async () => {
  const made = world({ ...COUNT, shardSize: 5000 });
  const text = textOf(8, 1000);
  await made.input.put("a.txt", text);
  const { steps, work } = made;
  const killed = (name: string): Partial<typeof work> => ({
    put: (key, body, options) =>
      key.includes(name) ? Promise.reject(new MillraceError("interrupted", "killed")) : work.put(key, body, options),
  });
  const { shards } = await steps.split("run");
  for (const { shard } of shards) {
    await expect(steps.map("run", shard, false, killed("/mapped/"))).rejects.toThrow("killed");
    await steps.map("run", shard);
  }
  const { partitions } = await steps.gather("run");
  for (const { partition } of partitions) {
    // Its output is there, and nobody knows of it.
    await expect(steps.reduce("run", partition, killed("/reduced/"))).rejects.toThrow("killed");
    await steps.reduce("run", partition);
  }
  const result = await steps.commit("run");
  expect(await outputOf(made, result)).toEqual(countOf([text]));
  const { parts } = await manifestOf(made, result);
  for (const { key, size } of parts) expect((await made.outputs.head(key))?.size).toBe(size);
  expect(await keysIn(work)).toEqual([]);
});

test("two runs at once do not meet", async () => {
  const made = world({ ...COUNT, shardSize: 2000 });
  const text = textOf(9, 500);
  await made.input.put("a.txt", text);
  const results = await Promise.all([runAll(made, "one"), runAll(made, "two")]);
  for (const result of results) expect(await outputOf(made, result)).toEqual(countOf([text]));
});

test("a record that nothing can be made of fails the run, and is told by its place", async () => {
  const made = world({ ...COUNT, format: "jsonl", mapper: { mapper: (value: string) => [[value, 1]] }, shardSize: 20 });
  await made.input.put("in/a.jsonl", '"ä"\n"b"\n\n"c"\n{broken\n"d"\n');
  await expect(runAll(made)).rejects.toMatchObject({
    kind: "bad-input",
    message: expect.stringMatching(/^in\/a\.jsonl: the record at byte 14 failed: .*JSON/),
  });
});

test("bad records are skipped up to a limit of the whole run, and none of their pairs counts", async () => {
  function* picky(line: string): Generator<readonly [string, number]> {
    yield ["seen", 1];
    if (line.startsWith("bad")) throw new Error(`no ${line}`);
  }
  const text = Array.from({ length: 100 }, (_, index) => (index % 20 === 7 ? `bad ${index}` : `good ${index}`)).join(
    "\n",
  );
  const options: FlowOptions = { ...COUNT, mapper: { mapper: picky }, shardSize: 200 };
  const made = world({ ...options, skips: 5 });
  await made.input.put("a.txt", text);
  const result = await runAll(made);
  expect(await outputOf(made, result)).toEqual({ seen: 95 });
  const { bad, skipped } = await manifestOf(made, result);
  expect(skipped).toBe(5);
  expect(bad.map(({ offset, message }) => [text.slice(offset).split("\n")[0], message])).toEqual(
    [7, 27, 47, 67, 87].map((index) => [`bad ${index}`, `no bad ${index}`]),
  );
  // Each mapper has at most one of them, all together have one too many.
  const strict = world({ ...options, skips: 4 });
  await strict.input.put("a.txt", text);
  await expect(runAll(strict)).rejects.toMatchObject({
    kind: "bad-input",
    message: expect.stringContaining("5 failed, 4 may be skipped"),
  });
});

test("what is no record's fault is tried again, not skipped", async () => {
  const mapper = () => {
    throw new MillraceError("unavailable", "the database does not answer");
  };
  const made = world({ ...COUNT, mapper: { mapper }, skips: 100 });
  await made.input.put("a.txt", "a\nb");
  await made.steps.split("run");
  await expect(made.steps.map("run", 0)).rejects.toMatchObject({ kind: "unavailable" });
});

test("what a mapper yields is checked", async () => {
  for (const wrong of ["text", ["key"], [1, 2], ["key", undefined]]) {
    const made = world({ ...COUNT, mapper: { mapper: (() => [wrong]) as never } });
    await made.input.put("a.txt", "a");
    await expect(runAll(made)).rejects.toThrow("a mapper yields [key, value], the key a text, got ");
  }
});

test("programs get records and groups many at once; the record to blame is found among them", async () => {
  const calls: number[] = [];
  const made = world({
    ...COUNT,
    skips: 2,
    async mapper(records) {
      calls.push(records.length);
      if (records.includes("poison")) throw new MillraceError("failed", "the program failed: poison");
      return (records as readonly string[]).flatMap((line) => [...words(line)]);
    },
    combiner: async (groups) => groups.map(([key, values]) => sum(key, values as readonly number[])),
    reducer: async (groups) => groups.map(([key, values]) => sum(key, values as readonly number[])),
  });
  const lines = textOf(11, 1000).split("\n");
  await made.input.put("a.txt", [...lines.slice(0, 700), "poison", ...lines.slice(700)].join("\n"));
  const result = await runAll(made);
  expect(await outputOf(made, result)).toEqual(countOf(lines));
  expect(calls.length).toBeLessThan(30);
  expect((await manifestOf(made, result)).bad).toMatchObject([
    { offset: Buffer.byteLength(lines.slice(0, 700).join("\n")) + 1, message: "the program failed: poison" },
  ]);
});

test("more runs than are merged at once, and a key with more values than memory is to hold", async () => {
  const value = "v".repeat(1000);
  const made = world({
    mapper: { mapper: (line: string) => [[line === "0" ? "hot" : `key ${line}`, value]] },
    reducer: {
      reducer(_: string, values: Iterable<string>) {
        let [all, again] = [0, 0];
        for (const one of values) all += one.length;
        for (const one of values) again += one.length;
        return [all, again];
      },
    },
    partitions: 1,
    buffer: 60_000,
    shardSize: 2 ** 30,
  });
  const lines = Array.from({ length: 40_000 }, (_, index) => (index % 2 === 0 ? "0" : String(index % 100)));
  await made.input.put("a.txt", lines.join("\n"));
  await made.steps.split("run");
  await made.steps.map("run", 0);
  const { partitions } = await made.steps.gather("run");
  const places = JSON.parse(new TextDecoder().decode(await made.work.get("run/partition/00000.json"))) as unknown[];
  expect(places.length).toBeGreaterThan(256);
  for (const { partition } of partitions) await made.steps.reduce("run", partition);
  const found = await outputOf(made, await made.steps.commit("run"));
  expect(found.hot).toEqual([20_000_000, 20_000_000]);
  expect(Object.keys(found)).toHaveLength(51);
});

test("what lies damaged between mappers and reducers is found", async () => {
  const made = world({ ...COUNT, partitions: 1 });
  await made.input.put("a.txt", textOf(5, 200));
  await made.steps.split("run");
  await made.steps.map("run", 0);
  await made.steps.gather("run");
  const [key] = (await keysIn(made.work)).filter((one) => one.startsWith("run/map/"));
  const bytes = Buffer.from(await made.work.get(key!));
  bytes[bytes.length >> 1]! ^= 1;
  const broken = { get: async (one: string, options?: object) => (one === key ? bytes : made.work.get(one, options)) };
  await expect(made.steps.reduce("run", 0, broken)).rejects.toThrow("is damaged");
});

test("a stop ends a mapper between two batches", async () => {
  const made = world(COUNT);
  await made.input.put("a.txt", textOf(3, 100));
  await made.steps.split("run");
  made.stop.abort(new MillraceError("stopped", "stopped by hand"));
  await expect(made.steps.map("run", 0)).rejects.toMatchObject({ kind: "stopped" });
});
