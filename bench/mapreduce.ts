/**
 * Sum by key and word count over lines: a whole run of ours (split, map, gather, reduce, commit) in one process on the
 * local cloud's buckets, with mapper and reducer in TypeScript and in SQL, beside a bare loop in Node, a plain loop in
 * Python, bare DuckDB on one processor and on two, Lithops on this computer and PySpark on two processors, which the
 * bench installs into its cache. Each is a process of its own; what is measured is its work, not its start, but for
 * PySpark, whose start is what it does first.
 */
import { execFile } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import type { JobName } from "./mapreduce/jobs.ts";
import { type PythonPeer, pythonOf } from "./mapreduce/python-peers.ts";
import { alternate, type Cost, medianOf } from "./measure.ts";

export const bench: Bench = { title: "MapReduce: sum by key and word count", run };

type Sample = Cost & { readonly keys: number };

const execute = promisify(execFile);
const scriptOf = (name: string): string => fileURLToPath(new URL(`mapreduce/${name}`, import.meta.url));

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  try {
    const megabytes = quick ? 20 : 1000;
    const pythons = {
      lithops: await pythonOf("lithops", say),
      pyspark: await pythonOf("pyspark", say),
    };
    const figures: Figure[] = [];
    const samples: Record<string, unknown> = {};
    for (const job of ["sum", "words"] as const) {
      const file = join(folder, job);
      writeInput(job, file, megabytes);
      const found = await compare(job, file, { runs, folder, pythons, say });
      samples[job] = found;
      figures.push(...figuresOf(job, megabytes, found));
      rmSync(file);
    }
    const left = Object.entries(pythons).filter(([, python]) => python === undefined);
    const load = loadavg().map((one) => one.toFixed(1));
    const notes = [
      `${megabytes} MB of lines; load at the end ${load.join(", ")}`,
      ...left.map(([name]) => `${name} could not be installed`),
    ];
    return { figures, samples, notes };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Compared extends Pick<BenchOptions, "runs" | "say"> {
  readonly folder: string;
  readonly pythons: Readonly<Record<PythonPeer, string | undefined>>;
}

async function compare(job: JobName, file: string, { runs, folder, pythons, say }: Compared) {
  const started = async (command: string, ...args: readonly string[]): Promise<Sample> => {
    const { stdout } = await execute(command, [...args]);
    // Lithops has its own word before.
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as Sample;
  };
  const ours = (kind: "code" | "sql") => async (round: number) => {
    const home = join(folder, `run-${kind}-${round}`);
    // The bucket takes the file itself; a link to it stays.
    await execute("cp", ["--reflink=auto", file, `${file}.copy`]);
    try {
      return await started(process.execPath, scriptOf("millrace.ts"), job, `${file}.copy`, home, kind);
    } finally {
      rmSync(home, { recursive: true, force: true });
      rmSync(`${file}.copy`, { force: true });
    }
  };
  const { lithops, pyspark } = pythons;
  const contenders: Record<string, (round: number) => Promise<Sample>> = {
    "Millrace, TypeScript": ours("code"),
    "Millrace, SQL": ours("sql"),
    "bare Node": () => started(process.execPath, scriptOf("bare.ts"), job, file),
    Python: () => started("python3", scriptOf("loop.py"), job, file),
    "DuckDB, 1 thread": () => started(process.execPath, scriptOf("duck.ts"), job, file, "1"),
    "DuckDB, 2 threads": () => started(process.execPath, scriptOf("duck.ts"), job, file, "2"),
    ...(lithops && { Lithops: () => started(lithops, scriptOf("lithops_run.py"), job, file) }),
    ...(pyspark && { PySpark: () => started(pyspark, scriptOf("spark_run.py"), job, file) }),
  };
  const samples = await alternate(contenders, runs, (name, round, { cpu, wall, keys }) =>
    say(`${job}: ${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s, ${keys} keys`),
  );
  const counts = new Set(Object.values(samples).flatMap((list) => list.map(({ keys }) => keys)));
  if (counts.size !== 1) throw new Error(`${job}: contenders found ${[...counts].join(" and ")} keys`);
  return samples;
}

type Goal = readonly [ours: string, peer: string, atLeast?: number];

/** Who is compared with whom, and the least of the peer's rate that ours is to be. */
const GOALS: readonly Goal[] = [
  ["Millrace, TypeScript", "bare Node"],
  ["Millrace, TypeScript", "Python", 4],
  ["Millrace, TypeScript", "Lithops", 4],
  ["Millrace, TypeScript", "DuckDB, 1 thread", 0.5],
  ["Millrace, SQL", "DuckDB, 1 thread", 0.9],
  ["Millrace, SQL", "DuckDB, 2 threads", 0.9],
  ["Millrace, SQL", "Lithops", 4],
];
/** The same in wall time, where a peer's start and its two processors count. */
const WALL_GOALS: readonly Goal[] = [
  ["Millrace, TypeScript", "PySpark", 3],
  ["Millrace, SQL", "PySpark", 3],
];

function figuresOf(job: JobName, megabytes: number, samples: Readonly<Record<string, readonly Sample[]>>): Figure[] {
  const figures = (goals: readonly Goal[], unit: string, cost: (sample: Sample) => number): Figure[] =>
    goals.flatMap(([ours, peer, atLeast]) => {
      const [own, other] = [samples[ours], samples[peer]];
      if (!own || !other) return [];
      return {
        what: `${job}, ${ours}: MB per ${unit}`,
        ours: megabytes / medianOf(own, cost),
        peer: { name: peer, value: megabytes / medianOf(other, cost) },
        ...(atLeast !== undefined && { goal: { atLeast } }),
      };
    });
  return [...figures(GOALS, "CPU second", ({ cpu }) => cpu), ...figures(WALL_GOALS, "second", ({ wall }) => wall)];
}

/** Lines of which there are as many keys as in a day of logs; always the same. */
function writeInput(job: JobName, file: string, megabytes: number): void {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
  const happening = () =>
    JSON.stringify({
      id: Math.floor(next() * 1e9),
      user: `user${Math.floor(next() * 10_000)}`,
      amount: Math.floor(next() * 1000),
      note: "some text that nobody asks for",
    });
  const text = () => Array.from({ length: 16 }, () => `word${Math.floor(50_000 * next() ** 3)}`).join(" ");
  const handle = openSync(file, "w");
  for (let written = 0; written < megabytes * 1e6; ) {
    const lines = Array.from({ length: 10_000 }, job === "sum" ? happening : text);
    written += writeSync(handle, `${lines.join("\n")}\n`);
  }
  closeSync(handle);
}
