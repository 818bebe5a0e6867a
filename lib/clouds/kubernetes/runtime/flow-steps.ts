import { type ErrorRecord, isErrorKind } from "../../../runtime/errors.ts";
import { isOver, type StepRecord, type StepStatus, type WorkflowStatus } from "../../../runtime/workflows/run.ts";
import { type ArgoNode, parameterIn } from "./argo.ts";
import { plainPath } from "./flow-step.ts";

/** By the names of their templates: the steps of a workflow, and of what type each is. */
export type FlowTemplates = Readonly<Record<string, readonly [step: string, type: string]>>;

/** What every template answers, decoded: of a run also what it ended with. */
export type FlowAnswer =
  | { readonly status: "succeeded" | "ended"; readonly output: unknown }
  | { readonly status: "failed"; readonly error: ErrorRecord };

/** @param text JSON in base64; nothing where it is none */
export function readAnswer(text: string | undefined): FlowAnswer | undefined {
  if (!text) return undefined;
  try {
    const answer = JSON.parse(Buffer.from(text, "base64").toString()) as Partial<Record<string, unknown>>;
    if (answer.status !== "failed") return answer as unknown as FlowAnswer;
    const { kind, message } = (answer.error ?? {}) as Partial<Record<string, unknown>>;
    return { status: "failed", error: { kind: isErrorKind(kind) ? kind : "failed", message: String(message ?? "") } };
  } catch {
    return undefined;
  }
}

/** The template that every wait is a call of: the step is the call's name. */
const WAIT = "wait";
const PREVIEW = 1024;

/** How the steps of a run went, in the order they began. @param status of the run */
export function recordsOf(
  nodes: readonly ArgoNode[],
  templates: FlowTemplates,
  run: { readonly id: string; readonly status: WorkflowStatus },
): readonly StepRecord[] {
  const byPath = new Map<string, { readonly step: string; readonly type: string; readonly nodes: ArgoNode[] }>();
  const steps = new Map(Object.values(templates).map(([step, type]) => [step, type]));
  const items = new Map<string, ArgoNode[]>();
  const caught = new Set<string>();
  for (const node of nodes) {
    if (node.phase === "Skipped" || node.phase === "Omitted") continue;
    if (node.displayName.startsWith("item(") && node.boundaryID !== undefined) {
      items.set(node.boundaryID, [...(items.get(node.boundaryID) ?? []), node]);
    }
    const at = parameterIn(node.inputs, "at");
    if (at === undefined || node.type === "StepGroup") continue;
    const [step, type] = templates[node.templateName ?? ""] ?? waitOf(node, templates) ?? [];
    if (step === undefined || type === undefined) {
      if (node.displayName === "catch") caught.add(plainPath(at.slice(0, -1)));
      continue;
    }
    const path = plainPath(`${at}${step}`);
    if (!byPath.has(path)) byPath.set(path, { step, type: steps.get(step) ?? type, nodes: [] });
    byPath.get(path)!.nodes.push(node);
  }
  return [...byPath]
    .map(([path, one]) => recordOf(path, one, { ...run, isCaught: caught.has(path), items }))
    .sort((one, other) => compared(one.started, other.started) || compared(one.path, other.path));
}

/** Times are whole seconds; what is around is before what is inside. */
const compared = (one: string, other: string): number => Number(one > other) - Number(one < other);

const waitOf = (node: ArgoNode, templates: FlowTemplates) =>
  node.templateName === WAIT ? templates[node.displayName] : undefined;

interface Around {
  readonly id: string;
  readonly status: WorkflowStatus;
  readonly isCaught: boolean;
  readonly items: ReadonlyMap<string, readonly ArgoNode[]>;
}

function recordOf(
  path: string,
  { step, type, nodes }: { readonly step: string; readonly type: string; readonly nodes: readonly ArgoNode[] },
  run: Around,
): StepRecord {
  // A node of Argo's own stands around the attempts of a pod: it goes on between them.
  const tries = nodes.filter((node) => node.type !== "Retry");
  const last = [...(tries.length > 0 ? tries : nodes)].sort(byStart).at(-1)!;
  const whole = nodes.find((node) => node.type === "Retry") ?? last;
  const answer = readAnswer(parameterIn(whole.outputs, "answer") ?? parameterIn(last.outputs, "answer"));
  const status = statusOf({ whole, last, answer, type, run });
  const isEnded = status !== "running" && status !== "waiting" && status !== "retrying";
  const attempts = Math.max(1, tries.length);
  return {
    ...{ path, step, status, attempts },
    started: [...nodes].sort(byStart)[0]!.startedAt ?? "",
    ...(isEnded && whole.finishedAt && { ended: whole.finishedAt }),
    ...(answer?.status === "failed" && { error: answer.error }),
    ...(status === "failed" &&
      answer?.status !== "failed" && { error: { kind: "unavailable", message: whole.message || "its pod failed" } }),
    ...(answer && "output" in answer && { outputPreview: JSON.stringify(answer.output ?? null).slice(0, PREVIEW) }),
    ...(type === "map" && { items: countOf(run.items.get(last.id) ?? []) }),
  };
}

const byStart = (one: ArgoNode, other: ArgoNode): number =>
  (one.startedAt ?? "").localeCompare(other.startedAt ?? "") || one.id.localeCompare(other.id);

function statusOf({
  whole,
  last,
  answer,
  type,
  run,
}: {
  readonly whole: ArgoNode;
  readonly last: ArgoNode;
  readonly answer: FlowAnswer | undefined;
  readonly type: string;
  readonly run: Around;
}): StepStatus {
  if (answer?.status === "failed") return run.isCaught ? "caught" : "failed";
  if (answer) return "succeeded";
  if (isOver(run.status)) return run.status === "stopped" ? "stopped" : "failed";
  if (whole !== last && (last.phase === "Failed" || last.phase === "Error")) return "retrying";
  if (whole.phase === "Failed" || whole.phase === "Error") return "failed";
  return type === "callback" || type === "wait" ? "waiting" : "running";
}

function countOf(items: readonly ArgoNode[]): NonNullable<StepRecord["items"]> {
  const answers = items.map(({ outputs }) => readAnswer(parameterIn(outputs, "answer"))?.status);
  return {
    total: items.length,
    succeeded: answers.filter((status) => status === "succeeded").length,
    failed: answers.filter((status) => status === "failed").length,
  };
}
