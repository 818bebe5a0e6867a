import type { StepRecord, StepStatus } from "../../runtime/workflows/run.ts";
import { type Block, blocksOf, type Step } from "../../shared/workflow/definition.ts";
import type { Colors } from "../terminal.ts";
import { grouped, renderState, renderStep } from "./flow.ts";
import { conditionInWords, stepInWords } from "./flow-words.ts";

interface Node {
  readonly name: string;
  /** Absent: no step, but what stands between steps. */
  readonly step?: Step;
  readonly children: readonly Node[];
}

/**
 * A workflow's definition as a tree, and how far a run of it is.
 *
 *     orders-flow
 *     ├─ list      calls orders-work          succeeded  0.2 s
 *     └─ each      for each of list.items     running  37/40
 *        └─ pack   calls orders-work          37 succeeded, 3 running
 *
 * @param steps of a run; absent: of none
 */
export function renderGraph(
  workflow: string,
  definition: Block,
  colors: Colors,
  steps?: readonly StepRecord[],
): string {
  const lines = linesOf(nodesOf(definition), "");
  const byName = grouped(steps ?? [], ({ step }) => step);
  const name = widest(lines.map(({ indent, node }) => indent.length + node.name.length));
  const deed = widest(lines.map(({ node }) => (node.step ? stepInWords(node.step).length : 0)));
  return [
    colors.bold(workflow),
    ...lines.map(({ indent, node }) => {
      if (!node.step) return `${colors.dim(indent)}${colors.dim(node.name)}`;
      const state = steps ? stateOf(byName.get(node.step.name) ?? [], colors) : "";
      const first = node.name.padEnd(name - indent.length);
      const words = stepInWords(node.step);
      return `${colors.dim(indent)}${first}  ${colors.dim(state === "" ? words : words.padEnd(deed))}  ${state}`.trimEnd();
    }),
  ].join("\n");
}

/** Of one step as it is; of many, how many there are of each state. */
function stateOf(records: readonly StepRecord[], colors: Colors): string {
  if (records.length === 0) return "";
  if (records.length === 1 && !records[0]!.path.includes("[")) return renderStep(records[0]!, colors);
  const counts = grouped(records, ({ status }) => status);
  return STATES.flatMap((status) => {
    const amount = counts.get(status)?.length ?? 0;
    return amount === 0 ? [] : [`${amount} ${renderState(status, colors)}`];
  }).join(", ");
}

const STATES: readonly StepStatus[] = ["succeeded", "caught", "running", "waiting", "retrying", "failed", "stopped"];

const nodesOf = ({ steps }: Block): readonly Node[] =>
  steps.map((step) => ({ name: step.name, step, children: inside(step) }));

function inside(step: Step): readonly Node[] {
  const caught = "catch" in step && step.catch ? [group(catchInWords(step.catch.kinds), step.catch.block)] : [];
  switch (step.type) {
    case "choice":
      return [
        ...step.options.map((option) => group(`if ${conditionInWords(option.if)}`, option.block)),
        ...(step.otherwise.steps.length > 0 ? [group("otherwise", step.otherwise)] : []),
      ];
    case "parallel":
      return [...Object.entries(step.branches).map(([branch, block]) => group(`${branch}:`, block)), ...caught];
    default: {
      const blocks = blocksOf(step).filter(([name]) => name !== "catch.block");
      return [...blocks.flatMap(([, block]) => nodesOf(block)), ...caught];
    }
  }
}

const group = (name: string, block: Block): Node => ({ name, children: nodesOf(block) });

/** `if it fails`, `if it fails: bad-input`. */
export const catchInWords = (kinds: readonly string[] | undefined): string =>
  `if it fails${kinds ? `: ${kinds.join(", ")}` : ""}`;

interface Line {
  readonly indent: string;
  readonly node: Node;
}

const linesOf = (nodes: readonly Node[], indent: string): readonly Line[] =>
  nodes.flatMap((node, index) => {
    const isLast = index === nodes.length - 1;
    return [
      { indent: `${indent}${isLast ? "└─ " : "├─ "}`, node },
      ...linesOf(node.children, `${indent}${isLast ? "   " : "│  "}`),
    ];
  });

const widest = (lengths: readonly number[]): number => lengths.reduce((most, length) => Math.max(most, length), 0);
