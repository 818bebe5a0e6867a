import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { unzipSync } from "fflate";
import { expect, onTestFinished, test } from "vitest";
import { deployable } from "../../lib/bundle/deployable.ts";
import type { HandlerId } from "../../lib/handlers/index.ts";

const NODE20 = "/usr/bin/node";
const isNode20 = existsSync(NODE20) && execFileSync(NODE20, ["--version"]).toString().startsWith("v20.");
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const RUNNER = `
const { handler } = await import(process.argv[2]);
process.stdout.write(JSON.stringify(await handler(JSON.parse(process.argv[3]), process.argv[4])));`;

async function home(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-deployed-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await symlink(here("../../node_modules"), join(folder, "node_modules"));
  await writeFile(join(folder, "runner.mjs"), RUNNER);
  return folder;
}

interface Step {
  readonly id: HandlerId;
  readonly settings: object;
  readonly code?: Readonly<Record<string, string>>;
  readonly install?: readonly string[];
}

/** The zip of a function, unpacked as a platform does it, and called on Node 20. */
async function deployed(folder: string, { id, settings, code = {}, install = [] }: Step) {
  const { file } = await deployable({
    handler: { id },
    code: Object.fromEntries(Object.entries(code).map(([name, path]) => [name, { file: path }])),
    settings,
    entry: here("../handlers/mapreduce/deployed-entry.ts"),
    exports: "handler",
    outdir: join(folder, "out-of-bundles"),
    install,
    target: "node20",
    machine: { os: "linux", cpu: "x64", libc: "glibc" },
  });
  const root = await mkdtemp(join(tmpdir(), "millrace-unpacked-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  for (const [path, bytes] of Object.entries(unzipSync(await readFile(file)))) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), bytes);
    if (path.endsWith(".so")) await chmod(join(root, path), 0o755);
  }
  return async (payload: object): Promise<unknown> => {
    const args = [join(folder, "runner.mjs"), join(root, "index.mjs"), JSON.stringify(payload), folder];
    const { stdout } = await promisify(execFile)(NODE20, args);
    return JSON.parse(stdout);
  };
}

async function shard(folder: string, text: string): Promise<void> {
  const plan = {
    objects: 1,
    size: text.length,
    shards: [[{ key: "a", etag: "etag", size: text.length, from: 0, to: text.length }]],
  };
  await mkdir(join(folder, "input"));
  await mkdir(join(folder, "work", "run"), { recursive: true });
  await writeFile(join(folder, "input", "a"), text);
  await writeFile(join(folder, "work", "run", "plan.json"), JSON.stringify(plan));
}

const DUCKDB = ["@duckdb/node-api"];
const DUCK = { memory: 2 ** 28, threads: 1, columns: {} };
const SHUFFLE = { format: "jsonl", partitions: 1, skips: 0, buffer: 2 ** 24 };
const COUNTS = here("../../examples/map-reduce-flow/counts.ts");

test.skipIf(!isNode20).each<[string, Step, Step]>([
  [
    "SQL, with DuckDB beside the bundle",
    {
      id: "mapreduce/sql/map",
      settings: {
        ...{ ...SHUFFLE, ...DUCK, columns: { type: "VARCHAR" }, rows: true },
        sql: "SELECT type AS key, count(*) AS value FROM records GROUP BY 1",
      },
      install: DUCKDB,
    },
    {
      id: "mapreduce/sql/reduce",
      settings: {
        ...DUCK,
        outputPrefix: "",
        outputFormat: "jsonl",
        sql: "SELECT key, sum(value) AS value FROM pairs GROUP BY 1 ORDER BY 1",
      },
      install: DUCKDB,
    },
  ],
  [
    "TypeScript",
    { id: "mapreduce/map", settings: SHUFFLE, code: { mapper: COUNTS, combiner: COUNTS } },
    { id: "mapreduce/reduce", settings: { outputPrefix: "" }, code: { reducer: COUNTS } },
  ],
])("the code that is deployed maps and reduces on Node 20: %s", { timeout: 300_000 }, async (_, map, reduce) => {
  const folder = await home();
  const types = Array.from({ length: 1000 }, (__, index) => (index % 3 === 0 ? "login" : "logout"));
  await shard(folder, types.map((type) => `{"type":"${type}"}\n`).join(""));
  const mapper = await deployed(folder, map);
  expect(await mapper({ run: "run", shard: 0 })).toEqual({ records: 1000, pairs: map.code ? 1000 : 2, skipped: 0 });
  const gather = await deployed(folder, { id: "mapreduce/gather", settings: { skips: 0 } });
  expect(await gather({ run: "run" })).toEqual({ partitions: [{ partition: 0 }] });
  const reducer = await deployed(folder, reduce);
  expect(await reducer({ run: "run", partition: 0 })).toEqual({ keys: 2, pairs: 2 });
  expect(await readFile(join(folder, "out", "run", "part-00000.jsonl"), "utf8")).toBe(
    '{"key":"login","value":334}\n{"key":"logout","value":666}\n',
  );
});
