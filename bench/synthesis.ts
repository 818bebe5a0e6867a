/**
 * Synthesis of 1, 10, 100 and 1,000 constructs: from `evaluate` to the plan, as `millrace synth` and `millrace dev` do.
 *
 * The floor is a program with as many bare `ComponentResource`s, evaluated by the same code in the same kind of child
 * process under the same mocks; what it takes is Node, Pulumi and TypeScript. A construct here is an `AsyncTask`: two
 * functions, a queue, a task and a monitor. Growth: seconds per construct between 100 and 1,000 over those between 10
 * and 100; 1 is linear.
 */
import { join } from "node:path";
import { evaluate } from "../lib/program/evaluate.ts";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { PROJECT } from "./machine.ts";
import { alternate, type Cost, measure, medianOf } from "./measure.ts";

export const bench: Bench = { title: "synthesis by number of constructs, beside bare components", run };

const COUNTS = [1, 10, 100, 1000];
/** Steeper than this is no straight line any more. */
const MOST_GROWTH = 1.5;

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const counts = quick ? COUNTS.slice(0, 3) : COUNTS;
  // Node's compile cache is filled by the first.
  await evaluateProgram("constructs", 1);
  const contenders = Object.fromEntries(
    counts.flatMap((count) =>
      ["components", "constructs"].map((program) => [`${count} ${program}`, () => evaluateProgram(program, count)]),
    ),
  );
  const samples = await alternate<string, Cost>(contenders, runs, (name, round, { wall, cpu }) =>
    say(`${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s`),
  );
  const secondsOf = (program: string, count: number, field: "wall" | "cpu") =>
    medianOf(samples[`${count} ${program}`]!, (sample) => sample[field]);
  const figures = counts.map(
    (count): Figure => ({
      what: `${count} constructs, wall seconds`,
      ours: secondsOf("constructs", count, "wall"),
      peer: { name: `${count} components`, value: secondsOf("components", count, "wall") },
    }),
  );
  const perConstruct = (from: number, to: number) =>
    (secondsOf("constructs", to, "cpu") - secondsOf("constructs", from, "cpu")) / (to - from);
  const [a, b, c] = counts.slice(-3) as [number, number, number];
  figures.push({
    what: `CPU ms per construct, ${b} to ${c}`,
    ours: 1000 * perConstruct(b, c),
    peer: { name: `${a} to ${b}`, value: 1000 * perConstruct(a, b) },
    goal: { atMost: MOST_GROWTH },
  });
  return { figures, samples };
}

async function evaluateProgram(program: string, count: number): Promise<Cost> {
  const { value, ...cost } = await measure(() =>
    evaluate({
      folder: PROJECT,
      program: join(PROJECT, "bench", "programs", `${program}.ts`),
      environment: { ...process.env, BENCH_COUNT: String(count) },
    }),
  );
  const expected = program === "constructs" ? count : 1;
  const { length } = value.plan.constructs;
  if (length !== expected || value.problems.length > 0) throw new Error(`${program}: ${length} constructs in the plan`);
  return cost;
}
