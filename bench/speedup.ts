/**
 * What slices gain with more workers: one 384 s 720p file to mp4, in slices of 5 s that are made one after the other, so
 * that each has the whole machine, as it has its own function in a cloud. Of how long each took follows when n workers
 * would be done: the plan, then slices and sound as workers get free, then joining and checking. T is the same file in
 * one piece; T/n is what nobody can beat.
 */
import type { LocalSession } from "../lib/clouds/local/dev.ts";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { medianOf } from "./measure.ts";
import { upload, withPipelines } from "./pipeline.ts";
import { sampleVideo } from "./samples.ts";

const WORKERS = [1, 2, 4, 8, 16, 32, 64];
const MOST = 1.2;
const FLOW = "fine-sliced";

export const bench: Bench = { title: "one video in slices by 1 to 64 workers, beside T/n", run };

/** Seconds. */
interface Sample {
  readonly whole: number;
  readonly plan: number;
  /** Slices and sound, in the order they are begun. */
  readonly pieces: readonly number[];
  readonly join: number;
}

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const file = quick ? await sampleVideo("320x180", 60) : await sampleVideo("1280x720", 384);
  const samples: Sample[] = [];
  for (let round = 1; round <= runs; round += 1) {
    const sample = await withPipelines((session) => sampleOf(session, file), "sliced.ts", { concurrency: 1 });
    const { whole, plan, pieces, join } = sample;
    const made = pieces.reduce((sum, seconds) => sum + seconds, 0);
    say(
      `${round} whole ${seconds(whole)}, plan ${seconds(plan)}, ${pieces.length} pieces ${seconds(made)}, join ${seconds(join)}`,
    );
    samples.push(sample);
  }
  const figures = WORKERS.map(
    (workers): Figure => ({
      what: `seconds with ${workers} worker${workers === 1 ? "" : "s"}`,
      ours: medianOf(samples, ({ plan, pieces, join }) => plan + spread(pieces, workers) + join),
      peer: { name: "T/n", value: medianOf(samples, ({ whole }) => whole / workers) },
      goal: { atMost: MOST },
    }),
  );
  return {
    figures,
    samples,
    notes: ["computed from what every step took by itself; nothing ran on more than this machine"],
  };
}

async function sampleOf(session: LocalSession, file: string): Promise<Sample> {
  const { wall: whole } = await upload(session, "one", file);
  await upload(session, "fine", file);
  const { host } = session;
  const { runs } = await host.workflows.list(FLOW);
  const found = await host.workflows.get(FLOW, runs[0]!.id);
  if (!found) throw new Error(`${FLOW}: there is no run`);
  const ended = found.steps
    .filter(({ ended }) => ended !== undefined)
    .map(({ step, ended }) => ({ step, at: Date.parse(ended!) }))
    .toSorted((a, b) => a.at - b.at);
  // One at a time: each took from the end of the one before.
  const took = ended.map(({ step, at }, index) => ({
    step,
    seconds: (at - (index === 0 ? Date.parse(found.run.started) : ended[index - 1]!.at)) / 1000,
  }));
  const of = (...steps: readonly string[]) => took.filter(({ step }) => steps.includes(step)).map((one) => one.seconds);
  return {
    whole,
    plan: sum(of("plan")),
    pieces: of("slice", "sound"),
    join: sum(of("join", "clean")),
  };
}

/** When the last of them is done, each begun by the worker that is free first. */
function spread(pieces: readonly number[], workers: number): number {
  const free = Array.from({ length: workers }, () => 0);
  for (const piece of pieces) {
    const first = free.indexOf(Math.min(...free));
    free[first]! += piece;
  }
  return Math.max(...free);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const seconds = (value: number): string => `${value.toFixed(2)} s`;
