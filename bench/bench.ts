/** How a bench is asked to run. */
export interface BenchOptions {
  /** Paired runs; the figures are medians over them. */
  readonly runs: number;
  /** Small inputs, to see that a bench works: its figures say nothing. */
  readonly quick: boolean;
  /** One line of progress. */
  readonly say: (line: string) => void;
}

/** One line of a bench's table. */
export interface Figure {
  /** With its unit: `CPU seconds`. */
  readonly what: string;
  readonly ours: number;
  /** What stands beside it, measured in the same run. */
  readonly peer?: { readonly name: string; readonly value: number };
  /** `over`: ours / peer. `under`: peer / ours, for "times fewer". @default over */
  readonly ratio?: "over" | "under";
  /** The most the ratio may be, or the least. */
  readonly goal?: { readonly atMost: number } | { readonly atLeast: number };
}

export interface BenchResult {
  readonly figures: readonly Figure[];
  /** What a reader must know to judge the figures. */
  readonly notes?: readonly string[];
  /** Every sample, for `--save`. */
  readonly samples?: unknown;
}

export interface Bench {
  readonly title: string;
  run(options: BenchOptions): Promise<BenchResult>;
}

/** Ours beside the peer's, as the figure says. */
export function ratioOf({ ours, peer, ratio = "over" }: Figure): number | undefined {
  if (!peer) return undefined;
  return ratio === "over" ? ours / peer.value : peer.value / ours;
}

/** Whether the goal is met; nothing where there is none. */
export function isMet(figure: Figure): boolean | undefined {
  const { goal } = figure;
  const ratio = ratioOf(figure);
  if (!goal || ratio === undefined) return undefined;
  return "atMost" in goal ? ratio <= goal.atMost : ratio >= goal.atLeast;
}
