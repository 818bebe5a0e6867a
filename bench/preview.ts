/**
 * `pulumi preview` with nothing changed, of each stack on each cloud, beside a program of the same resources written out
 * by hand: the provider's own classes with the values of the stack's state. Both are run by the real CLI with a stand-in
 * provider, so that what is measured is the engine, Node, the provider's package, and what Millrace does beside:
 * checking, bundling and hashing every function's code. Also the number of resources, and the seconds that `synth` takes.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { evaluate } from "../lib/program/evaluate.ts";
import { type Engine, startEngine, type TestStack } from "../test/real/engine/engine.ts";
import { MATRIX } from "../test/real/engine/matrix.ts";
import type { Outcome } from "../test/real/engine/outcome.ts";
import { installPulumi } from "../test/real/install/pulumi.ts";
import type { Bench, BenchOptions, BenchResult, Figure } from "./bench.ts";
import { alternate, type Cost, measure, medianOf } from "./measure.ts";
import { writtenOut } from "./written-out.ts";

export const bench: Bench = { title: "a preview without changes, beside the same resources written by hand", run };

const STACKS = ["tasks", "videos"] as const;
/** Those whose resources are all of one provider. */
const CLOUDS = ["alicloud", "aws"] as const;
type CloudName = (typeof CLOUDS)[number];

async function run(options: BenchOptions): Promise<BenchResult> {
  process.env.MILLRACE_PULUMI ??= await installPulumi();
  const pairs = CLOUDS.flatMap((cloud) => STACKS.map((stack) => ({ cloud, stack })));
  const figures: Figure[] = [];
  const samples: Record<string, unknown> = {};
  for (const { cloud, stack } of options.quick ? pairs.slice(0, 1) : pairs) {
    const measured = await comparePreviews(options, cloud, stack);
    figures.push(...measured.figures);
    samples[`${stack} on ${cloud}`] = measured.samples;
  }
  return { figures, samples, notes: ["the peer bundles no code: its zips are there already"] };
}

async function comparePreviews({ runs, say }: BenchOptions, cloud: CloudName, stack: (typeof STACKS)[number]) {
  // Two stand-ins: names are the same, and a service has one resource of a name.
  const engines = await Promise.all([startEngine([cloud]), startEngine([cloud])]);
  try {
    const { ours, resources } = await deployed(engines[0], cloud, stack);
    const peer = await deployedByHand(engines[1], cloud, ours, engines[0].folder);
    const previews = {
      millrace: () => preview(ours),
      "by hand": () => preview(peer),
      synth: () => synth(engines[0], stack),
    };
    const samples = await alternate<keyof typeof previews, Cost>(previews, runs, (name, round, { wall, cpu }) =>
      say(`${stack} on ${cloud}: ${round} ${name} ${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU-s`),
    );
    const seconds = (field: "wall" | "cpu"): Figure => ({
      what: `${stack} on ${cloud}: ${field === "wall" ? "wall" : "CPU"} seconds`,
      ours: medianOf(samples.millrace, (sample) => sample[field]),
      peer: { name: "by hand", value: medianOf(samples["by hand"], (sample) => sample[field]) },
    });
    const figures: readonly Figure[] = [
      seconds("wall"),
      seconds("cpu"),
      { what: `${stack} on ${cloud}: resources`, ours: resources },
      { what: `${stack} on ${cloud}: synth, wall seconds`, ours: medianOf(samples.synth, ({ wall }) => wall) },
    ];
    return { figures, samples };
  } finally {
    await Promise.all(engines.map((engine) => engine.close()));
  }
}

const settingsOf = (cloud: CloudName, stack: string) => ({
  ...MATRIX[cloud].config,
  "millrace:cloud": cloud,
  "millrace:stack": stack,
});

async function deployed(engine: Engine, cloud: CloudName, stack: string) {
  const ours = await engine.stack(stack, "stacks/index.ts", settingsOf(cloud, stack));
  const { steps } = done(await ours.up());
  return { ours, resources: steps.filter(({ type }) => type.startsWith(`${cloud}:`)).length };
}

async function deployedByHand(engine: Engine, cloud: CloudName, ours: TestStack, files: string): Promise<TestStack> {
  await mkdir(join(engine.folder, "by-hand"));
  const text = writtenOut(await ours.state(), cloud, join(files, "stacks"));
  await writeFile(join(engine.folder, "by-hand/index.ts"), text);
  const peer = await engine.stack("by-hand", "by-hand/index.ts", {});
  done(await peer.up());
  return peer;
}

async function preview(stack: TestStack): Promise<Cost> {
  const { value, ...cost } = await measure(() => stack.preview());
  const changes = done(value).steps.filter(({ op }) => op !== "same");
  if (changes.length > 0) throw new Error(`the preview is not without changes: ${JSON.stringify(changes)}`);
  return cost;
}

async function synth(engine: Engine, stack: string): Promise<Cost> {
  const { value, ...cost } = await measure(() => evaluate({ folder: engine.folder, stack }));
  if (value.problems.length > 0 || value.plan.constructs.length !== 1) throw new Error(`${stack}: no plan`);
  return cost;
}

function done(outcome: Outcome): Outcome {
  if (outcome.error !== undefined) throw new Error(outcome.error);
  return outcome;
}
