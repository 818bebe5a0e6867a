/**
 * Each handler's bundle: bytes, zipped bytes, and how long a fresh process takes to import it, on Node 20 (Function
 * Compute) and Node 24; beside an empty module.
 *
 * `bare` is the handler with an entry that does nothing: what every cloud's bundle has at least. `local` is the bundle
 * the local cloud runs. Imports are timed inside a process just forked, from before `import()` to its answer; processes
 * of all modules run in turn. Node 20 is `MILLRACE_NODE20`, else the first Node 20 on the PATH.
 */
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { deflateRawSync } from "node:zlib";
import { bundle } from "../lib/bundle/bundle.ts";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { PROJECT } from "./machine.ts";
import { alternate, median } from "./measure.ts";

export const bench: Bench = { title: "bundles: size and cold import, beside an empty module", run };

const HANDLERS = ["tasks/dispatch", "video/dispatch", "video/transcode"] as const;
const ENTRIES = {
  bare: join(PROJECT, "bench", "programs", "bare-entry.ts"),
  local: join(PROJECT, "lib", "clouds", "local", "runtime", "entry.ts"),
};
/** Processes of one module in one run. */
const IMPORTS = 5;

interface Made {
  readonly name: string;
  readonly file: string;
  readonly bytes: number;
  readonly zipped: number;
}

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  try {
    const made = await makeBundles(folder);
    const empty = join(folder, "empty.mjs");
    writeFileSync(empty, "export {};\n");
    const nodes = await findNodes();
    const modules = [{ name: "empty", file: empty }, ...made];
    const contenders = Object.fromEntries(
      nodes.flatMap((node) =>
        modules.map(({ name, file }) => [`${name} on ${node.version}`, () => importTimes(node.path, file, quick)]),
      ),
    );
    const samples = await alternate(contenders, runs, (name, round, times) =>
      say(`${round} ${name} ${median(times).toFixed(1)} ms`),
    );
    const millisecondsOf = (name: string, version: string) => median(samples[`${name} on ${version}`]!.map(median));
    const figures = made.flatMap(({ name, bytes, zipped }): Figure[] => [
      { what: `${name}: KB`, ours: bytes / 1024 },
      { what: `${name}: KB zipped`, ours: zipped / 1024 },
      ...nodes.map(({ version }) => ({
        what: `${name}: import on Node ${version}, ms`,
        ours: millisecondsOf(name, version),
        peer: { name: "empty module", value: millisecondsOf("empty", version) },
      })),
    ]);
    const notes = nodes.some(({ version }) => version.startsWith("20."))
      ? []
      : ["no Node 20 was found: name one by MILLRACE_NODE20"];
    return { figures, notes, samples };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeBundles(outdir: string): Promise<readonly Made[]> {
  const made: Made[] = [];
  for (const id of HANDLERS) {
    for (const [kind, entry] of Object.entries(ENTRIES)) {
      const args = { handler: { id }, code: {}, settings: {}, install: [], target: "node20" as const };
      const { file, bytes } = await bundle({ ...args, entry, outdir });
      made.push({
        name: `${id}, ${kind}`,
        file,
        bytes,
        zipped: deflateRawSync(readFileSync(file), { level: 9 }).length,
      });
    }
  }
  return made;
}

async function importTimes(node: string, file: string, quick: boolean): Promise<readonly number[]> {
  const times: number[] = [];
  for (let count = 0; count < (quick ? 1 : IMPORTS); count += 1) times.push(await importTime(node, file));
  return times;
}

/** The entry of the local cloud wants a channel to its host, and answers over it that it is ready. */
async function importTime(node: string, file: string): Promise<number> {
  const child = fork(join(PROJECT, "bench", "programs", "import.mjs"), [file], {
    execPath: node,
    execArgv: [],
    serialization: "advanced",
  });
  const exit = once(child, "exit");
  const milliseconds = await new Promise<number>((resolve, reject) => {
    child.on("message", (message) => {
      if (typeof message === "number") resolve(message);
    });
    void exit.then(([code]) => reject(new Error(`${file} on ${node} ended with ${code}`)));
  });
  child.kill("SIGKILL");
  await exit;
  return milliseconds;
}

interface FoundNode {
  readonly path: string;
  readonly version: string;
}

async function findNodes(): Promise<readonly FoundNode[]> {
  const found: FoundNode[] = [];
  const paths = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, "node"));
  for (const path of [process.env.MILLRACE_NODE20 ?? "", ...paths]) {
    const version = path && (await versionOf(path));
    if (version?.startsWith("20.")) {
      found.push({ path, version });
      break;
    }
  }
  return [...found, { path: process.execPath, version: process.versions.node }];
}

async function versionOf(path: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ["--version"]);
    return stdout.trim().slice(1);
  } catch {
    return undefined;
  }
}
