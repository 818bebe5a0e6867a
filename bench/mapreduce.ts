/**
 * Sum by key and word count over lines: a whole run of ours (split, map, gather, reduce, commit) in one process on the
 * local cloud's buckets, beside a bare loop in Node, a plain loop in Python (what a mapper of Lithops is), and DuckDB
 * where Python has it (`pip install duckdb`). Each is a process of its own; what is measured is its work, not its start.
 * All but DuckDB use one processor.
 */
import { execFile } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import type { JobName } from "./mapreduce/jobs.ts";
import { alternate, type Cost, medianOf } from "./measure.ts";

export const bench: Bench = { title: "MapReduce: sum by key and word count", run };

type Sample = Cost & { readonly keys: number };

const execute = promisify(execFile);
const scriptOf = (name: string): string => fileURLToPath(new URL(`mapreduce/${name}`, import.meta.url));

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  try {
    const megabytes = quick ? 20 : 1000;
    const hasDuck = await execute("python3", ["-c", "import duckdb"]).then(
      () => true,
      () => false,
    );
    const figures: Figure[] = [];
    const samples: Record<string, unknown> = {};
    for (const job of ["sum", "words"] as const) {
      const file = join(folder, job);
      writeInput(job, file, megabytes);
      const found = await compare(job, file, { runs, folder, hasDuck, say });
      samples[job] = found;
      figures.push(...figuresOf(job, megabytes, found));
      rmSync(file);
    }
    const notes = [`${megabytes} MB of lines`, ...(hasDuck ? [] : ["DuckDB is not here: pip install duckdb"])];
    return { figures, samples, notes };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Compared extends Pick<BenchOptions, "runs" | "say"> {
  readonly folder: string;
  readonly hasDuck: boolean;
}

async function compare(job: JobName, file: string, { runs, folder, hasDuck, say }: Compared) {
  const started = async (command: string, ...args: readonly string[]): Promise<Sample> => {
    const { stdout } = await execute(command, [...args]);
    return JSON.parse(stdout) as Sample;
  };
  const ours = async (round: number) => {
    const home = join(folder, `run-${round}`);
    // The bucket takes the file itself; a link to it stays.
    await execute("cp", ["--reflink=auto", file, `${file}.copy`]);
    try {
      return await started(process.execPath, scriptOf("millrace.ts"), job, `${file}.copy`, home);
    } finally {
      rmSync(home, { recursive: true, force: true });
      rmSync(`${file}.copy`, { force: true });
    }
  };
  const contenders: Record<string, (round: number) => Promise<Sample>> = {
    millrace: ours,
    "bare Node": () => started(process.execPath, scriptOf("bare.ts"), job, file),
    Python: () => started("python3", scriptOf("loop.py"), job, file),
    ...(hasDuck && { DuckDB: () => started("python3", scriptOf("duck.py"), job, file) }),
  };
  const samples = await alternate(contenders, runs, (name, round, { cpu, wall, keys }) =>
    say(`${job}: ${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s, ${keys} keys`),
  );
  const counts = new Set(Object.values(samples).flatMap((list) => list.map(({ keys }) => keys)));
  if (counts.size !== 1) throw new Error(`${job}: contenders found ${[...counts].join(" and ")} keys`);
  return samples;
}

/** Least of the peer's rate that ours is to be: that of a mapper of Lithops, and of SQL with code of any kind. */
const GOALS: Readonly<Record<string, number>> = { Python: 4, DuckDB: 0.5 };

function figuresOf(job: JobName, megabytes: number, samples: Readonly<Record<string, readonly Sample[]>>): Figure[] {
  const rateOf = (name: string) => megabytes / medianOf(samples[name]!, ({ cpu }) => cpu);
  return Object.keys(samples)
    .filter((name) => name !== "millrace")
    .map((name) => ({
      what: `${job}: MB per CPU second`,
      ours: rateOf("millrace"),
      peer: { name, value: rateOf(name) },
      ...(GOALS[name] !== undefined && { goal: { atLeast: GOALS[name] } }),
    }));
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
