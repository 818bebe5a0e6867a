/**
 * Logs by application, compressed and appended to files: our handler, with exactly-once, its table in memory, beside
 * loops that promise nothing: one that appends what it compressed of each batch, one with a `gzip` for each
 * application, and rsyslog, which splits and zips in C, where it is here (`MILLRACE_RSYSLOG`, or on the PATH). Then the
 * ways to compress by themselves, on lines as one batch has them of one application.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { lines } from "./archive/lines.ts";
import { findRsyslog } from "./archive/rsyslog.ts";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { alternate, type Cost, medianOf } from "./measure.ts";

export const bench: Bench = { title: "Logs by application, compressed and appended", run };

type Sample = Cost & { readonly bytes: number };

const execute = promisify(execFile);
const scriptOf = (name: string): string => fileURLToPath(new URL(`archive/${name}`, import.meta.url));

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const count = quick ? 12_000 : 240_000;
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  try {
    const rsyslog = await findRsyslog();
    const samples = await alternate(contendersOf(count, folder, rsyslog), runs, (name, round, { cpu, wall, bytes }) =>
      say(`${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s, ${(bytes / 1e6).toFixed(2)} MB`),
    );
    const compressed = await compression(quick ? 10 : 60, runs);
    const notes = [
      `${count} lines, ${Math.round([...lines(1000)].join("").length / 1000)} bytes each, of 20 applications in batches of 1,000`,
      ...(rsyslog === undefined ? ["rsyslog is not here: apt install rsyslog"] : []),
    ];
    return {
      figures: [...figuresOf(count, samples), ...compressed.figures],
      samples: { ...samples, ...compressed.samples },
      notes,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function contendersOf(count: number, folder: string, rsyslog: string | undefined) {
  const started = async (script: string, ...args: readonly string[]): Promise<Sample> => {
    const own = join(folder, "files");
    mkdirSync(own);
    try {
      const { stdout } = await execute(process.execPath, [scriptOf(script), `${count}`, own, ...args]);
      return JSON.parse(stdout) as Sample;
    } finally {
      rmSync(own, { recursive: true, force: true });
    }
  };
  return {
    "millrace gzip-2": () => started("millrace.ts", "gzip", "2"),
    "millrace zstd-1": () => started("millrace.ts", "zstd", "1"),
    "bare loop gzip-2": () => started("bare.ts", "2"),
    "bare loop gzip-6": () => started("bare.ts", "6"),
    "gzip -6 pipes": () => started("pipes.ts", "6"),
    ...(rsyslog !== undefined && { "rsyslog zip-6": () => started("rsyslog-run.ts", rsyslog, "6") }),
  } as Readonly<Record<string, () => Promise<Sample>>>;
}

function figuresOf(count: number, samples: Readonly<Record<string, readonly Sample[]>>): Figure[] {
  const rateOf = (name: string) => count / medianOf(samples[name]!, ({ cpu }) => cpu);
  const beside = (ours: string, peer: string, goal?: Figure["goal"]): Figure => ({
    what: `${ours}: lines per CPU second`,
    ours: rateOf(ours),
    peer: { name: peer, value: rateOf(peer) },
    ...(goal && { goal }),
  });
  const sizeOf = (name: string) => medianOf(samples[name]!, ({ bytes }) => bytes);
  return [
    beside("millrace gzip-2", "bare loop gzip-2"),
    beside("millrace gzip-2", "bare loop gzip-6"),
    beside("millrace gzip-2", "gzip -6 pipes"),
    ...(samples["rsyslog zip-6"]
      ? [
          beside("millrace gzip-2", "rsyslog zip-6", { atLeast: 0.5 }),
          beside("millrace zstd-1", "rsyslog zip-6", { atLeast: 1 }),
        ]
      : []),
    {
      what: "gzip-2: bytes in files",
      ours: sizeOf("millrace gzip-2"),
      peer: { name: "bare loop gzip-2", value: sizeOf("bare loop gzip-2") },
    },
  ];
}

type Way = readonly [name: string, compress: (bytes: Buffer) => Buffer];
const gzip = (level: number): Way => [`gzip-${level}`, (bytes) => gzipSync(bytes, { level, memLevel: 9 })];
const WAYS: readonly Way[] = [
  gzip(6),
  gzip(1),
  gzip(2),
  ["zstd-1", (bytes) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })],
];

/** The option that is to be much faster than gzip-6 at nearly its ratio. */
const FAST = "zstd-1";

/** Of each way its speed and its ratio, beside those of gzip-6. */
async function compression(megabytes: number, runs: number) {
  const blocks: Buffer[] = [];
  let [held, bytes] = [[] as string[], 0];
  for (const line of lines(megabytes * 4000)) {
    held.push(line);
    bytes += line.length + 1;
    if (held.length < 1000) continue;
    blocks.push(Buffer.from(`${held.join("\n")}\n`));
    held = [];
  }
  const contenders = Object.fromEntries(
    WAYS.map(([name, compress]) => [
      name,
      async () => {
        const begun = process.cpuUsage();
        const out = blocks.reduce((sum, block) => sum + compress(block).byteLength, 0);
        const { user, system } = process.cpuUsage(begun);
        return { speed: bytes / (user + system), ratio: bytes / out };
      },
    ]),
  );
  const samples = await alternate(contenders, runs);
  const peer = { name: "gzip-6" };
  const of = (name: string, field: "speed" | "ratio") => medianOf(samples[name]!, (sample) => sample[field]);
  const figures = WAYS.slice(1).flatMap(([name]): Figure[] => [
    {
      what: `${name}: MB per CPU second`,
      ours: of(name, "speed"),
      peer: { ...peer, value: of("gzip-6", "speed") },
      ...(name === FAST && { goal: { atLeast: 4 } }),
    },
    {
      what: `${name}: bytes in for one out`,
      ours: of(name, "ratio"),
      peer: { ...peer, value: of("gzip-6", "ratio") },
      ...(name === FAST && { goal: { atLeast: 0.93 } }),
    },
  ]);
  return { figures, samples };
}
