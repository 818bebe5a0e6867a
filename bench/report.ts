import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderTable } from "../lib/cli/render/table.ts";
import { processTerminal } from "../lib/cli/terminal.ts";
import { type Bench, type BenchOptions, type BenchResult, type Figure, isMet, ratioOf } from "./bench.ts";
import { type Machine, PROJECT } from "./machine.ts";

/** The figures as a table: peer, ours, ratio, goal. */
export function renderFigures(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const ratio = ratioOf(figure);
    return [
      figure.what,
      figure.peer?.name ?? "",
      figure.peer ? format(figure.peer.value) : "",
      format(figure.ours),
      ratio === undefined ? "" : `${ratio.toFixed(ratio < 10 ? 3 : 1)}${figure.ratio === "under" ? " × less" : ""}`,
      goalText(figure),
    ];
  });
  return renderTable(["figure", "peer", "its", "ours", "ratio", "goal"], rows, processTerminal(process));
}

function goalText(figure: Figure): string {
  const { goal } = figure;
  if (!goal) return "";
  const text = "atMost" in goal ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`;
  return `${text} ${isMet(figure) ? "met" : "missed"}`;
}

/** Four digits that say something. */
function format(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(4)));
}

export const renderMachine = ({ processor, cores, memoryGb, node, ffmpeg, commit, load }: Machine): string =>
  [
    `${cores} cores (${processor}), ${memoryGb} GB, Node ${node}, ${ffmpeg}, ${commit}`,
    ...(load > 0.5 * cores ? [`the machine is busy (load ${load.toFixed(1)}): these figures are preliminary`] : []),
  ].join("\n");

/** Writes `bench/results/<name>.json`. */
export function save(
  name: string,
  bench: Bench,
  { figures, notes = [], samples }: BenchResult,
  { runs, quick }: BenchOptions,
  machine: Machine,
): string {
  const folder = join(PROJECT, "bench", "results");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.json`);
  const rows = figures.map((figure) => ({ ...figure, ratio: ratioOf(figure), met: isMet(figure) }));
  const report = { title: bench.title, machine, runs, quick, figures: rows, notes, samples };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  return file;
}
