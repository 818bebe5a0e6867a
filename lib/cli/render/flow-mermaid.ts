import type { StepRecord, StepStatus } from "../../runtime/workflows/run.ts";
import { type Block, blocksOf, type Step } from "../../shared/workflow/definition.ts";
import { grouped } from "./flow.ts";
import { catchInWords } from "./flow-graph.ts";
import { conditionInWords, stepInWords } from "./flow-words.ts";
import { escaped } from "./mermaid.ts";

/** Where an arrow begins, and what it says. */
interface Exit {
  readonly id: string;
  readonly label?: string;
}

/** A definition as a Mermaid flowchart, its steps coloured as a run has left them. https://mermaid.js.org/syntax/flowchart.html */
export function renderFlowMermaid(definition: Block, steps: readonly StepRecord[] = []): string {
  const chart = new Chart();
  const exits = chart.block(definition, [{ id: "begin" }], "  ");
  const arrows = exits.map((exit) => arrow(exit, "done"));
  const states = grouped(steps, ({ step }) => step);
  const classes = [...states].flatMap(([name, records]) => {
    const id = chart.ids.get(name);
    const status = WORST.find((one) => records.some((record) => record.status === one));
    return id && status ? [`  class ${id} ${status}`] : [];
  });
  const used = WORST.filter((status) => classes.some((line) => line.endsWith(` ${status}`)));
  return [
    "flowchart TD",
    '  begin(["begin"])',
    ...chart.nodes,
    '  done(["end"])',
    ...chart.arrows,
    ...arrows,
    ...used.map((status) => `  classDef ${status} fill:${COLORS[status]}`),
    ...classes,
  ].join("\n");
}

/** The state of many steps is the first of these that one of them has. */
const WORST = ["failed", "stopped", "retrying", "running", "waiting", "caught", "succeeded"] as const;

const COLORS: Readonly<Record<StepStatus, string>> = {
  succeeded: "#c8e6c9",
  caught: "#fff3c4",
  running: "#bbdefb",
  waiting: "#e1f5fe",
  retrying: "#ffe0b2",
  failed: "#ffcdd2",
  stopped: "#e0e0e0",
};

class Chart {
  /** By step. */
  readonly ids = new Map<string, string>();
  readonly nodes: string[] = [];
  readonly arrows: string[] = [];
  #groups = 0;

  /** Draws steps one after the other, and answers where it goes on. */
  block({ steps }: Block, from: readonly Exit[], indent: string): readonly Exit[] {
    return steps.reduce<readonly Exit[]>((exits, step) => this.#step(step, exits, indent), from);
  }

  #step(step: Step, from: readonly Exit[], indent: string): readonly Exit[] {
    const id = `s${this.ids.size}`;
    this.ids.set(step.name, id);
    const text = `${escaped(step.name)}<br>${escaped(stepInWords(step))}`;
    const exits =
      step.type === "choice" ? this.#choice(step, id, text, indent) : this.#plainStep(step, id, text, indent);
    this.arrows.push(...from.map((exit) => arrow(exit, id)));
    const caught = "catch" in step ? step.catch : undefined;
    if (!caught) return exits;
    return [...exits, ...this.block(caught.block, [{ id, label: catchInWords(caught.kinds) }], indent)];
  }

  #choice(step: Extract<Step, { type: "choice" }>, id: string, text: string, indent: string): readonly Exit[] {
    this.nodes.push(`${indent}${id}{"${text}"}`);
    const options = step.options.map((option) => ({ label: conditionInWords(option.if), block: option.block }));
    return [...options, { label: "otherwise", block: step.otherwise }].flatMap(({ label, block }) =>
      this.block(block, [{ id, label }], indent),
    );
  }

  #plainStep(step: Step, id: string, text: string, indent: string): readonly Exit[] {
    const blocks = blocksOf(step).filter(([name]) => name !== "catch.block");
    if (blocks.length === 0) this.nodes.push(`${indent}${id}["${text}"]`);
    else {
      this.nodes.push(`${indent}subgraph ${id}["${text}"]`);
      for (const [name, block] of blocks)
        this.#inside(step.type === "parallel" ? name : undefined, block, `${indent}  `);
      this.nodes.push(`${indent}end`);
    }
    return step.type === "succeed" || step.type === "fail" ? [] : [{ id }];
  }

  #inside(branch: string | undefined, block: Block, indent: string): void {
    if (branch === undefined) return void this.block(block, [], indent);
    this.#groups += 1;
    this.nodes.push(`${indent}subgraph g${this.#groups}["${escaped(branch.replace(/^branches\./, ""))}"]`);
    this.block(block, [], `${indent}  `);
    this.nodes.push(`${indent}end`);
  }
}

const arrow = ({ id, label }: Exit, to: string): string =>
  `  ${id} -->${label === undefined ? "" : `|"${escaped(label)}"|`} ${to}`;
