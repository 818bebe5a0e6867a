/**
 * Runs of workflows on this computer: steps per second, and what an item of a map costs, of 1,000 and of 10,000.
 *
 * The host runs in this process as `millrace dev` does, in an empty folder, with as many processes of the step's
 * function as it runs at once; the function answers its input. Steps: one run of a workflow of ten function steps one
 * after the other, and fifty such runs at once. Items: one run over a list, each item one call of the function, the
 * outputs collected. Its peer is the map of 1,000 items: what is linear has the ratio 1. Processes are warm: a small run
 * goes before what is measured. A step's end is in the journal before the next one begins, whatever is measured.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDev } from "../lib/clouds/local/dev.ts";
import { isOver, type WorkflowClient } from "../lib/runtime/workflows/run.ts";
import type { Bench, BenchOptions, BenchResult } from "./bench.ts";
import { PROJECT } from "./machine.ts";
import { alternate, type Cost, measure, medianOf } from "./measure.ts";

export const bench: Bench = { title: "workflows: steps, and the items of a map", run };

/** Steps of a run of the chain, as `programs/workflows.ts` declares it. */
const CHAIN = 10;
/** What is linear: an item of 10,000 takes at most so much more than one of 1,000. */
const LINEAR = 1.25;

/** What one kind of runs took for each of its steps or items. */
type Sample = Cost & { readonly units: number };

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const root = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const [few, many, beside] = quick ? [20, 200, 5] : [1000, 10_000, 50];
  const map = (items: number) => (workflows: WorkflowClient) => mapOver(workflows, items);
  const kinds = {
    chain: (workflows: WorkflowClient) => chains(workflows, 1),
    chains: (workflows: WorkflowClient) => chains(workflows, beside),
    few: map(few),
    many: map(many),
  };
  let folders = 0;
  const sample = async (kind: keyof typeof kinds): Promise<Sample> => {
    folders += 1;
    return inCloud(join(root, String(folders)), kinds[kind]);
  };
  try {
    const names = Object.keys(kinds) as (keyof typeof kinds)[];
    const contenders = Object.fromEntries(names.map((name) => [name, () => sample(name)] as const));
    const samples = (await alternate(contenders, runs, (name, round, { units, wall, cpu }) =>
      say(`${round} ${name}: ${Math.round(units / wall)}/s, ${((cpu / units) * 1000).toFixed(2)} CPU-ms each`),
    )) as Readonly<Record<keyof typeof kinds, readonly Sample[]>>;
    const rate = (kind: keyof typeof kinds) => medianOf(samples[kind], ({ units, wall }) => units / wall);
    const each = (kind: keyof typeof kinds) => medianOf(samples[kind], ({ units, cpu }) => (cpu / units) * 1000);
    const named = (count: number) => count.toLocaleString("en");
    return {
      figures: [
        { what: "one run: steps/s", ours: rate("chain") },
        { what: `${beside} runs at once: steps/s`, ours: rate("chains") },
        { what: `${beside} runs at once: CPU ms per step`, ours: each("chains") },
        { what: `map of ${named(few)}: items/s`, ours: rate("few") },
        {
          what: `map of ${named(many)}: items/s`,
          ours: rate("many"),
          peer: { name: named(few), value: rate("few") },
          goal: { atLeast: 0.8 },
        },
        {
          what: `map of ${named(many)}: CPU ms per item`,
          ours: each("many"),
          peer: { name: named(few), value: each("few") },
          goal: { atMost: LINEAR },
        },
      ],
      notes: ["a step is a call of a function in a process of its own, and one write of the journal"],
      samples,
    };
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Measures work in a cloud of its own, once its processes are there. */
async function inCloud(folder: string, work: (workflows: WorkflowClient) => Promise<number>): Promise<Sample> {
  const program = join(PROJECT, "bench", "programs", "workflows.ts");
  const { host, close } = await startDev({ program, project: PROJECT, folder, watch: false, onEvent: () => {} });
  try {
    await mapOver(host.workflows, 20);
    const { value: units, wall, cpu } = await measure(() => work(host.workflows));
    return { units, wall, cpu };
  } finally {
    await close();
  }
}

/** @returns the steps that were done */
async function chains(workflows: WorkflowClient, count: number): Promise<number> {
  const started = Array.from({ length: count }, () => workflows.start("steps-chain", { number: 0 }));
  await Promise.all(started.map(async (run) => outputOf(workflows, "steps-chain", (await run).id)));
  return count * CHAIN;
}

/** @returns the items that were done */
async function mapOver(workflows: WorkflowClient, count: number): Promise<number> {
  const items = Array.from({ length: count }, (_, number) => ({ number }));
  const { id } = await workflows.start("steps-items", { items });
  const { length } = (await outputOf(workflows, "steps-items", id)) as readonly unknown[];
  if (length !== count) throw new Error(`${length} outputs of ${count} items`);
  return count;
}

/** Milliseconds between two looks: reading a run's history is work of the same process. */
const LOOK = 25;

async function outputOf(workflows: WorkflowClient, workflow: string, id: string): Promise<unknown> {
  for (;;) {
    const { runs } = await workflows.list(workflow, { prefix: id, limit: 1 });
    if (isOver(runs[0]!.status)) break;
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
  const { run, output } = (await workflows.get(workflow, id))!;
  if (run.status !== "succeeded") throw new Error(`${id} is ${run.status}: ${run.error?.message}`);
  return output;
}
