import type { Action, FunctionPlan, LinkPlan, PartKind, PartPlan, Plan } from "../../parts/plan.ts";
import { partOf } from "../../parts/source.ts";
import { timingInWords } from "./words.ts";

/** The plan as a Mermaid flowchart. https://mermaid.js.org/syntax/flowchart.html */
export function renderMermaid(plan: Plan): string {
  const ids = new Map(plan.parts.map(({ name }, index) => [name, `p${index}`]));
  const boxes = plan.constructs.flatMap(({ name, type }, index) => [
    `  subgraph c${index}["${escaped(`${name}: ${type}`)}"]`,
    ...plan.parts
      .filter(({ construct }) => construct === name)
      .map((part) => `    ${ids.get(part.name)}${shape(part)}`),
    "  end",
  ]);
  const arrows = plan.parts.flatMap(arrowsOf).flatMap(({ from, to, line, label }) => {
    const [start, end] = [ids.get(from), ids.get(to)];
    return start && end ? [`  ${start} ${line}|"${escaped(label)}"| ${end}`] : [];
  });
  return ["flowchart LR", ...boxes, ...arrows].join("\n");
}

const SHAPES = {
  bucket: ['[("', '")]'],
  table: ['[("', '")]'],
  volume: ['[("', '")]'],
  queue: ['(["', '"])'],
  function: ['["', '"]'],
  task: ['[["', '"]]'],
  schedule: ['(("', '"))'],
  secret: ['>"', '"]'],
  monitor: ['{{"', '"}}'],
  workflow: ['[/"', '"/]'],
  stream: ['(["', '"])'],
} as const satisfies Record<PartKind, readonly [string, string]>;

function shape(part: PartPlan): string {
  const [open, close] = SHAPES[part.kind];
  const timing = part.kind === "schedule" ? `<br>${escaped(timingInWords(part.timing))}` : "";
  return `${open}${escaped(part.name)}${timing}${close}`;
}

/** Mermaid's own entities: a name may hold whatever ends a label or starts its markup. */
export const escaped = (text: string): string =>
  text.replace(/[^\p{L}\p{N} .,:_/+*>-]/gu, (character) => `#${character.codePointAt(0)};`).replaceAll(">", "#gt;");

interface Arrow {
  readonly from: string;
  readonly to: string;
  /** Solid for what makes something happen, dotted for what may be touched. */
  readonly line: "-->" | "-.->" | "<-.->";
  readonly label: string;
}

function arrowsOf(part: PartPlan): readonly Arrow[] {
  const makes = (from: string, to: string, label: string): Arrow => ({ from, to, line: "-->", label });
  switch (part.kind) {
    case "function":
      return [
        ...sourceArrows(part),
        ...Object.values(part.links).map((link) => linkArrow(part.name, link)),
        ...(part.failures ? [makes(part.name, part.failures, "failures")] : []),
      ];
    case "task":
      return [
        makes(part.name, part.worker, "runs"),
        ...part.onSuccess.map(({ name }) => makes(part.name, name, "success")),
        ...part.onFailure.map(({ name }) => makes(part.name, name, "failure")),
      ];
    case "queue":
      return part.deadLetters ? [makes(part.name, part.deadLetters, "dead letters")] : [];
    case "monitor":
      return [
        ...part.alarms.map((alarm): Arrow => ({ from: alarm.part, to: part.name, line: "-.->", label: alarm.metric })),
        ...part.notify.map(({ name }) => makes(part.name, name, "alarm")),
      ];
    default:
      return [];
  }
}

const sourceArrows = ({ name, sources }: FunctionPlan): readonly Arrow[] =>
  sources.map((source) => {
    return { from: partOf(source), to: name, line: "-->", label: source.type.split(".")[1]! };
  });

/** Along the data: what is read comes from the part, all else goes to it. */
function linkArrow(name: string, { part, actions }: LinkPlan): Arrow {
  const isInward = (action: Action) => /\.(read|receive)$/.test(action);
  const label = actions.map((action) => action.split(".")[1]).join(", ");
  if (actions.every(isInward)) return { from: part, to: name, line: "-.->", label };
  return { from: name, to: part, line: actions.some(isInward) ? "<-.->" : "-.->", label };
}
