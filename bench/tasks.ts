/**
 * No-op tasks: submitted and finished per second, submit to start, with nothing and with 100,000 waiting; beside
 * BullMQ on Redis.
 *
 * Every contender starts anew in an empty folder and in processes of its own, runs the same handler with the same
 * concurrency (the machine's cores), and keeps every finished run. Ours runs as `millrace dev` does: the host in the
 * process that submits (or, over HTTP, in one beside it), every slot a process. BullMQ: one worker process, Redis beside
 * it; once in memory, once with an append-only file flushed every second, which is what ours promises (SQLite in
 * write-ahead mode, `synchronous = NORMAL`: nothing is lost with the process, a power cut may take the last moments).
 * Rates: 200 submits under way while every slot is occupied; then the slots are let go. Latency: an open loop, from
 * before the submit to the handler's first line, as the handler itself measures it. With 100,000 waiting, those that
 * are measured are urgent, and the slots are busy with the others.
 */
import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { alternate, medianOf } from "./measure.ts";
import { CONTENDERS, type ContenderName } from "./queues/contender.ts";
import type { Phases, Rates, Sizes } from "./queues/run.ts";

export const bench: Bench = { title: "no-op tasks, beside BullMQ on Redis", run };

const FULL: Omit<Sizes, "concurrency"> = {
  tasks: 10_000,
  waiting: 100_000,
  drained: 5000,
  rates: [200, 1000],
  seconds: 4,
};
const QUICK: typeof FULL = { tasks: 1000, waiting: 5000, drained: 500, rates: [200, 1000], seconds: 1 };

/** What stands beside what; the durable Redis is the one that promises what ours does. */
const PAIRS: readonly (readonly [label: string, ours: ContenderName, peer: ContenderName])[] = [
  ["", "millrace", "BullMQ, AOF"],
  ["", "millrace", "BullMQ"],
  ["HTTP: ", "millrace over HTTP", "BullMQ, AOF"],
];

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const sizes: Sizes = { ...(quick ? QUICK : FULL), concurrency: Math.max(2, availableParallelism()) };
  const names = Object.keys(CONTENDERS) as ContenderName[];
  const contenders = Object.fromEntries(names.map((name) => [name, () => runContender(name, sizes)]));
  const samples = (await alternate(contenders, runs, (name, round, { empty, full }) =>
    say(`${round} ${name}: ${brief(empty)}; ${sizes.waiting} waiting: ${brief(full)}`),
  )) as Readonly<Record<ContenderName, readonly Phases[]>>;
  const figures = (["empty", "full"] as const).flatMap((phase) => {
    const waiting = phase === "full" ? `${sizes.waiting.toLocaleString("en")} waiting: ` : "";
    const rates = (name: ContenderName) => samples[name].map((sample) => sample[phase]);
    return PAIRS.flatMap(([label, ours, peer]) => figuresOf(`${waiting}${label}`, rates(ours), peer, rates(peer)));
  });
  return { figures, notes: [`${sizes.concurrency} at once`], samples };
}

const brief = ({ submitted, finished, cpu, latencies }: Rates): string =>
  [
    `${Math.round(submitted)} submitted/s, ${Math.round(finished)} finished/s, ${cpu.toFixed(2)} CPU-ms each`,
    ...latencies.map(({ rate, p50, p99 }) => `at ${rate}/s ${p50.toFixed(1)} / ${p99.toFixed(1)} ms`),
  ].join(", ");

function figuresOf(label: string, ours: readonly Rates[], peer: string, theirs: readonly Rates[]): readonly Figure[] {
  const figure = (what: string, field: (rates: Rates) => number): Figure => ({
    what: `${label}${what}`,
    ours: medianOf(ours, field),
    peer: { name: peer, value: medianOf(theirs, field) },
  });
  return [
    figure("submitted/s", ({ submitted }) => submitted),
    figure("finished/s", ({ finished }) => finished),
    figure("CPU ms per task", ({ cpu }) => cpu),
    ...ours[0]!.latencies.flatMap(({ rate }, index) => [
      figure(`start at ${rate}/s, p50 ms`, ({ latencies }) => latencies[index]!.p50),
      figure(`start at ${rate}/s, p99 ms`, ({ latencies }) => latencies[index]!.p99),
    ]),
  ];
}

const RUN = fileURLToPath(new URL("./queues/run.ts", import.meta.url));

async function runContender(name: ContenderName, sizes: Sizes): Promise<Phases> {
  const { stdout } = await promisify(execFile)(process.execPath, [RUN, name, JSON.stringify(sizes)]);
  return JSON.parse(stdout) as Phases;
}
