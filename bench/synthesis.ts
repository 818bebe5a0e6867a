/**
 * Synthesis of 1, 10, 100 and 1,000 constructs: from `evaluate` to the plan, as `millrace synth` and `millrace dev` do.
 *
 * The floor is a program with as many bare `ComponentResource`s, evaluated by the same code in the same kind of child
 * process under the same mocks; what it takes is Node, Pulumi and TypeScript. A construct here is an `AsyncTask`: two
 * functions, a queue, a task and a monitor. Growth: seconds per construct between 100 and 1,000 over those between 10
 * and 100; 1 is linear.
 *
 * Then each construct on each cloud: to its plan, beside the same on this computer; and all its resources, registered with
 * mocks in the engine's place, every function's code bundled and packed anew. `preview` measures with the real engine.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { evaluate } from "../lib/program/evaluate.ts";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { PROJECT } from "./machine.ts";
import { alternate, type Cost, measure, median, medianOf } from "./measure.ts";

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
  const clouds = await measureClouds({ runs, say });
  return { figures: [...figures, ...clouds.figures], samples: { ...samples, ...clouds.samples } };
}

/** Each stack holds one construct. */
const CONSTRUCTS = { AsyncTask: "tasks", VideoTranscodePipeline: "videos" } as const;
const CONFIG = {
  alicloud: { "millrace:region": "cn-hangzhou", "millrace:contactGroups": '["operators"]' },
  aws: { "millrace:region": "us-east-1", "millrace:alarmEmails": '["operators@example.com"]' },
  kubernetes: {
    "millrace:nats": '{"url":"nats://nats.nats.svc.cluster.local:4222"}',
    "millrace:store":
      '{"endpoint":"https://s3.example.com","keys":{"accessKey":"millrace","secretKey":"nobody asks for it"}}',
    "millrace:alarms": "prometheus-operator",
  },
} as const;
type RealCloud = keyof typeof CONFIG;

async function measureClouds({ runs, say }: Pick<BenchOptions, "runs" | "say">) {
  const clouds = Object.keys(CONFIG) as RealCloud[];
  const plans: Record<string, () => Promise<number>> = {};
  const builds: Record<string, () => Promise<Building>> = {};
  for (const [construct, stack] of Object.entries(CONSTRUCTS)) {
    plans[`${construct} on local`] = () => planSeconds(stack, "local", {});
    for (const cloud of clouds) {
      plans[`${construct} on ${cloud}`] = () => planSeconds(stack, cloud, CONFIG[cloud]);
      builds[`${construct} on ${cloud}`] = () => build(cloud, construct);
    }
  }
  const planned = await alternate(plans, runs, (name, round, seconds) =>
    say(`${round} ${name} ${seconds.toFixed(2)} s`),
  );
  const built = await alternate(builds, runs, (name, round, { resources, seconds }) =>
    say(`${round} ${name}: ${resources} resources, ${seconds.toFixed(2)} s`),
  );
  const figures = Object.keys(CONSTRUCTS).flatMap((construct) =>
    clouds.flatMap((cloud): Figure[] => {
      const name = `${construct} on ${cloud}`;
      return [
        {
          what: `${name}: plan, seconds`,
          ours: median(planned[name]!),
          peer: { name: "local", value: median(planned[`${construct} on local`]!) },
        },
        { what: `${name}: resources`, ours: built[name]![0]!.resources },
        { what: `${name}: resources with their code, seconds`, ours: medianOf(built[name]!, ({ seconds }) => seconds) },
      ];
    }),
  );
  return { figures, samples: { planned, built } };
}

async function planSeconds(stack: string, cloud: RealCloud | "local", config: Readonly<Record<string, string>>) {
  const { value, wall } = await measure(() =>
    evaluate({
      folder: PROJECT,
      program: join(PROJECT, "stacks", "index.ts"),
      cloud,
      config: { ...config, "millrace:cloud": cloud, "millrace:stack": stack },
    }),
  );
  if (value.plan.constructs.length !== 1 || value.problems.length > 0) {
    throw new Error(`${stack} on ${cloud}: ${JSON.stringify(value.problems)}`);
  }
  return wall;
}

interface Building {
  readonly resources: number;
  readonly seconds: number;
}

async function build(cloud: RealCloud, construct: string): Promise<Building> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  try {
    const program = join(PROJECT, "bench", "programs", "building.ts");
    const { stdout } = await promisify(execFile)(process.execPath, [program, cloud, construct], { cwd: folder });
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as Building;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
