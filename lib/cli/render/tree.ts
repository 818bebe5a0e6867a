import colors from "picocolors";
import type { ConstructPlan, PartPlan, Plan } from "../../parts/plan.ts";
import { factsInWords, relationsInWords, sourceInWords } from "./words.ts";

/**
 * The plan as a tree: constructs, their parts, what starts them, and in words what they may touch.
 *
 *     media, stack dev, on local
 *     └─ videos  VideoTranscodePipeline
 *        ├─ videos-uploads   bucket
 *        └─ videos-dispatch  function  submits to videos-transcode  1 minute, 512 MB
 *           └─ when an object appears in videos-uploads
 */
export function renderTree(plan: Plan, { colour }: { readonly colour: boolean }): string {
  const paint = colors.createColors(colour);
  const title = `${plan.project}, stack ${plan.stack}, on ${plan.clouds.map(({ name }) => name).join(" and ")}`;
  const lines = linesOf(childrenOf(plan, undefined), "");
  const name = widest(lines.map(({ indent, row }) => (row.kind ? indent.length + row.name.length : 0)));
  const kind = widest(lines.map(({ row }) => row.kind?.length ?? 0));
  const relations = widest(
    lines.map(({ row }) => row.relations?.length ?? 0).filter((length) => length <= LONGEST_COLUMN),
  );
  return [
    paint.bold(title),
    ...lines.map(({ indent, row }) => {
      const pad = (text: string, length: number) => text + " ".repeat(Math.max(0, length - text.length));
      if (row.type) return `${paint.dim(indent)}${paint.bold(row.name)}  ${paint.dim(row.type)}`;
      if (!row.kind) return `${paint.dim(indent)}${row.name}`;
      const first = pad(row.name, name - indent.length);
      const rest = row.facts ? `${pad(row.relations ?? "", relations)}  ${paint.dim(row.facts)}` : row.relations;
      return `${paint.dim(indent)}${first}  ${paint.cyan(pad(row.kind, kind))}  ${rest}`.trimEnd();
    }),
  ].join("\n");
}

/** A longer text pushes its own line's facts to the right, not everybody's. */
const LONGEST_COLUMN = 50;

interface Row {
  readonly name: string;
  /** A construct's. */
  readonly type?: string;
  /** A part's. */
  readonly kind?: string;
  readonly relations?: string;
  readonly facts?: string;
  readonly children: readonly Row[];
}

const childrenOf = (plan: Plan, parent: string | undefined): readonly Row[] =>
  plan.constructs.filter((construct) => construct.parent === parent).map((construct) => constructRow(plan, construct));

const constructRow = (plan: Plan, { name, type, cloud }: ConstructPlan): Row => ({
  name,
  type: plan.clouds.length > 1 ? `${type} on ${cloud}` : type,
  children: [...plan.parts.filter((part) => part.construct === name).map(partRow), ...childrenOf(plan, name)],
});

const partRow = (part: PartPlan): Row => ({
  name: part.name,
  kind: part.kind,
  relations: relationsInWords(part),
  facts: factsInWords(part),
  children: (part.kind === "function" ? part.sources : []).map((source) => ({
    name: sourceInWords(source),
    children: [],
  })),
});

interface Line {
  readonly indent: string;
  readonly row: Row;
}

const linesOf = (rows: readonly Row[], indent: string): readonly Line[] =>
  rows.flatMap((row, index) => {
    const isLast = index === rows.length - 1;
    return [
      { indent: `${indent}${isLast ? "└─ " : "├─ "}`, row },
      ...linesOf(row.children, `${indent}${isLast ? "   " : "│  "}`),
    ];
  });

const widest = (lengths: readonly number[]): number => lengths.reduce((most, length) => Math.max(most, length), 0);
