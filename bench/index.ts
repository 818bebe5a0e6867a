/**
 * Measures Millrace beside its peers: `npm run bench -- [name…] [--runs 5] [--quick] [--save]`.
 *
 * Peers run in the same run as ours and in turn with it (A B A B …); figures are medians. Wall time is the clock's,
 * CPU seconds are those of the measuring process and of everything it starts, from `/proc` (`measure.ts`).
 */
import { relative } from "node:path";
import { parseArgs } from "node:util";
import type { Bench } from "./bench.ts";
import { describeMachine } from "./machine.ts";
import { renderFigures, renderMachine, save } from "./report.ts";

const BENCHES: Readonly<Record<string, () => Promise<{ readonly bench: Bench }>>> = {
  transcode: () => import("./transcode.ts"),
  formats: () => import("./formats.ts"),
  sliced: () => import("./sliced.ts"),
  speedup: () => import("./speedup.ts"),
  tasks: () => import("./tasks.ts"),
  workflows: () => import("./workflows.ts"),
  dev: () => import("./dev.ts"),
  bundles: () => import("./bundles.ts"),
  synthesis: () => import("./synthesis.ts"),
  preview: () => import("./preview.ts"),
  mapreduce: () => import("./mapreduce.ts"),
  transfer: () => import("./transfer.ts"),
  kafka: () => import("./kafka.ts"),
  archive: () => import("./archive.ts"),
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", default: "5" },
    quick: { type: "boolean", default: false },
    save: { type: "boolean", default: false },
  },
});
const unknown = positionals.filter((name) => !Object.hasOwn(BENCHES, name));
if (unknown.length > 0) throw new Error(`there is no bench ${unknown.join(", ")}; there are: ${Object.keys(BENCHES)}`);
const runs = Number(values.runs);
if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs: a whole number from 1, got "${values.runs}"`);

for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHES)) {
  const { bench } = await BENCHES[name]!();
  const options = { runs, quick: values.quick, say: (line: string) => console.error(`${name}: ${line}`) };
  const machine = await describeMachine();
  const result = await bench.run(options);
  const lines = [
    `\n${name}: ${bench.title}`,
    renderMachine(machine),
    `${runs} paired runs, medians${values.quick ? "; --quick: small inputs, the figures say nothing" : ""}`,
    renderFigures(result.figures),
    ...(result.notes ?? []),
  ];
  console.log(lines.join("\n"));
  if (values.save) console.log(`saved: ${relative(process.cwd(), save(name, bench, result, options, machine))}`);
}
