/** One contender, from an empty folder through all phases, in a process of its own: prints its figures as JSON. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measure, percentile } from "../measure.ts";
import { CONTENDERS, type Contender, type ContenderName, type SubmitOptions } from "./contender.ts";
import { now } from "./job.ts";

/** How much of everything. */
export interface Sizes {
  readonly concurrency: number;
  /** Submitted, then finished, with nothing else waiting. */
  readonly tasks: number;
  /** Waiting while more come. */
  readonly waiting: number;
  /** Of those waiting, how many are finished under the clock. */
  readonly drained: number;
  /** Submits a second, and for how many seconds. */
  readonly rates: readonly number[];
  readonly seconds: number;
}

export interface Latency {
  readonly rate: number;
  /** Milliseconds from before the submit to the first line of the worker's code. */
  readonly p50: number;
  readonly p99: number;
  /** Submits a second that were reached; below the rate where the contender cannot take so many. */
  readonly reached: number;
}

export interface Rates {
  readonly submitted: number;
  readonly finished: number;
  /** CPU milliseconds of all processes per task, submit and finish together. */
  readonly cpu: number;
  readonly latencies: readonly Latency[];
}

export interface Phases {
  readonly empty: Rates;
  readonly full: Rates;
}

/** Submits that are under way at once. */
const IN_FLIGHT = 200;

if (process.argv[1] === import.meta.filename) {
  const [name, sizes] = process.argv.slice(2) as [ContenderName, string];
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  try {
    console.log(JSON.stringify(await runPhases(name, JSON.parse(sizes) as Sizes, folder)));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runPhases(name: ContenderName, sizes: Sizes, folder: string): Promise<Phases> {
  const contender = await CONTENDERS[name](join(folder, "data"), sizes.concurrency);
  try {
    // Cold processes and just-in-time compilers are not what is measured.
    await throughput(contender, "warm", Math.min(1000, sizes.tasks), folder);
    const empty = await throughput(contender, "empty", sizes.tasks, folder);
    const emptyLatencies = await latencies(contender, "empty", sizes);
    const full = await throughput(contender, "full", sizes.waiting, folder, sizes.drained);
    const fullLatencies = await latencies(contender, "full", sizes, { urgent: true });
    return { empty: { ...empty, latencies: emptyLatencies }, full: { ...full, latencies: fullLatencies } };
  } finally {
    await contender.close();
  }
}

/** Submits while every slot is occupied, then lets go: the two rates do not disturb each other. */
async function throughput(contender: Contender, phase: string, count: number, folder: string, drained = count) {
  const release = await occupy(contender, phase, join(folder, `${phase}.go`));
  const ids = Array.from({ length: count }, (_, index) => `${phase}-${index}`);
  const submits = await measure(() => submitAll(contender, ids));
  const finishes = await measure(async () => {
    await release();
    // First in, first out: when the last of them is done, so are the others, up to those that run beside it.
    await until(contender, ids[drained - 1]!, "finished");
  });
  return {
    submitted: count / submits.wall,
    finished: drained / finishes.wall,
    cpu: (1000 * submits.cpu) / count + (1000 * finishes.cpu) / drained,
  };
}

async function occupy(contender: Contender, phase: string, file: string): Promise<() => Promise<void>> {
  const ids = Array.from({ length: contender.concurrency }, (_, index) => `${phase}-hold-${index}`);
  for (const id of ids) await contender.submit(id, { until: file }, { urgent: true });
  for (const id of ids) await until(contender, id, "running");
  return () => writeFile(file, "");
}

async function submitAll(contender: Contender, ids: readonly string[]): Promise<void> {
  let next = 0;
  const submitter = async () => {
    while (next < ids.length) {
      next += 1;
      await contender.submit(ids[next - 1]!, {});
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, submitter));
}

async function until(contender: Contender, id: string, state: "running" | "finished"): Promise<void> {
  while ((await contender.state(id)) !== state) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function latencies(contender: Contender, phase: string, sizes: Sizes, options?: SubmitOptions) {
  const found: Latency[] = [];
  for (const rate of sizes.rates)
    found.push(await latency(contender, `${phase}-${rate}`, rate, sizes.seconds, options));
  return found;
}

/** An open loop: submits come at their times, whether or not the ones before have been answered. */
async function latency(
  contender: Contender,
  phase: string,
  rate: number,
  seconds: number,
  options?: SubmitOptions,
): Promise<Latency> {
  const ids = Array.from({ length: rate * seconds }, (_, index) => `${phase}-${index}`);
  const began = now();
  const submits: Promise<void>[] = [];
  while (submits.length < ids.length) {
    const due = Math.min(ids.length, Math.ceil(((now() - began) / 1000) * rate));
    while (submits.length < due) submits.push(contender.submit(ids[submits.length]!, { at: now() }, options));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(submits);
  const reached = ids.length / ((now() - began) / 1000);
  for (const id of ids.slice(-contender.concurrency)) await until(contender, id, "finished");
  const measured: number[] = [];
  for (const id of ids) {
    await until(contender, id, "finished");
    measured.push(await contender.result(id));
  }
  return { rate, p50: percentile(measured, 0.5), p99: percentile(measured, 0.99), reached };
}
