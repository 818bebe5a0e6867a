import {
  isOver,
  type StepRecord,
  type StepStatus,
  type WorkflowHistory,
  type WorkflowRun,
  type WorkflowStatus,
} from "../../runtime/workflows/run.ts";
import { type Block, type StepType, stepsOf } from "../../shared/workflow/definition.ts";
import type { Colors, Terminal } from "../terminal.ts";
import { percent } from "./progress.ts";
import { renderTable } from "./table.ts";
import { clip, count, indentJson, plain } from "./text.ts";
import { formatBetween, formatSpan, formatTime } from "./time.ts";

type Style = "dim" | "cyan" | "yellow" | "green" | "red";

const STYLES: Readonly<Record<WorkflowStatus | StepStatus, Style>> = {
  running: "cyan",
  waiting: "cyan",
  retrying: "yellow",
  stopping: "yellow",
  succeeded: "green",
  caught: "yellow",
  failed: "red",
  stopped: "yellow",
};

/** A state in its colour. */
export const renderState = (status: WorkflowStatus | StepStatus, colors: Colors): string =>
  colors[STYLES[status]](status);

/** Longest part of an error that a line shows. */
const REMARK_LENGTH = 60;

/** Items of a map, or rounds, that are shown one by one. */
const MOST_SHOWN = 10;

/** Runs, one a line. */
export function renderFlowRuns(runs: readonly WorkflowRun[], terminal: Terminal): string {
  const rows = runs.map((run) => [
    plain(run.id),
    renderState(run.status, terminal.colors),
    formatTime(run.started),
    took(run),
    clip(plain(run.error?.message ?? ""), REMARK_LENGTH),
  ]);
  return renderTable(["ID", "STATUS", "STARTED", "TOOK", ""], rows, terminal);
}

/** Records by what they have in common, in the order they came. */
export function grouped<Key extends string>(
  records: readonly StepRecord[],
  keyOf: (record: StepRecord) => Key,
): ReadonlyMap<Key, readonly StepRecord[]> {
  const groups = new Map<Key, StepRecord[]>();
  for (const record of records) {
    const group = groups.get(keyOf(record));
    if (group) group.push(record);
    else groups.set(keyOf(record), [record]);
  }
  return groups;
}

/** A run on one line, as it is now or as it ended. */
export function renderFlowLine(run: WorkflowRun, colors: Colors): string {
  const error = run.error && isOver(run.status) ? `: ${plain(run.error.message)}` : "";
  const time = isOver(run.status) && took(run) !== "" ? ` in ${took(run)}` : "";
  return `${run.workflow} ${plain(run.id)} ${renderState(run.status, colors)}${time}${error}`;
}

/** A run that is over: how it went, and its output. */
export const renderEnd = ({ run, output }: WorkflowHistory, colors: Colors): string =>
  [renderFlowLine(run, colors), ...(output == null ? [] : [indentJson(output)])].join("\n");

/**
 * What a run is at: its steps under way, and of items of a map those that have something to say.
 *
 * @param now milliseconds since 1970
 */
export function renderAtWork({ run, steps }: WorkflowHistory, colors: Colors, now: number): string {
  const open = steps.filter(({ status }) => status === "running" || status === "waiting" || status === "retrying");
  const telling = open.filter(({ path, status, progress }) => !path.includes("[") || progress || status !== "running");
  const shown = telling.slice(0, MOST_SHOWN).map((record) => {
    const rest = record.items ? timeLeft(record, open, now) : "";
    return `  ${record.path}  ${renderStep(record, colors)}${rest && `  ${colors.dim(rest)}`}`;
  });
  const more = telling.length - MOST_SHOWN;
  return [renderFlowLine(run, colors), ...shown, ...(more > 0 ? [`  … and ${more} more`] : [])].join("\n");
}

/** `45 %, about 12 s left`, as if all items of a map took as long as those that are over. */
function timeLeft({ path, items, started }: StepRecord, open: readonly StepRecord[], now: number): string {
  const { total, succeeded, failed } = items!;
  const begun = open.reduce(
    (sum, { path: at, progress }) => sum + (at.startsWith(`${path}[`) && progress ? progress.fraction : 0),
    0,
  );
  const share = total === 0 ? 1 : Math.min(1, (succeeded + failed + begun) / total);
  if (share === 0 || share === 1) return "";
  return `${percent(share)}, about ${formatSpan(((now - Date.parse(started)) * (1 - share)) / share)} left`;
}

const took = ({ started, ended }: { readonly started: string; readonly ended?: string }): string =>
  ended ? formatBetween(started, ended) : "";

/** All that is known of a run: its steps as they are inside one another, maps as counts and what is not well in them. */
export function renderHistory(history: WorkflowHistory, definition: Block, terminal: Terminal): string {
  const { run, input, output, steps } = history;
  const { bold, dim, red } = terminal.colors;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ["status", renderState(run.status, terminal.colors)],
    ["error", run.error && red(`${run.error.kind}: ${plain(run.error.message)}`)],
    ["started", formatTime(run.started)],
    ["ended", run.ended && `${formatTime(run.ended)}, took ${took(run)}`],
  ];
  const rows = rowsOf(steps, definition);
  const width = rows.reduce((most, { depth, label }) => Math.max(most, depth * 2 + label.length), 0);
  return [
    bold(`${run.workflow} ${plain(run.id)}`),
    ...facts.flatMap(([name, value]) => (value ? [`  ${dim(name.padEnd(8))} ${value}`] : [])),
    bold("steps"),
    ...rows.map(({ depth, label, record }) => {
      const name = `${"  ".repeat(depth)}${label}`;
      return `  ${record ? `${name.padEnd(width)}  ${renderStep(record, terminal.colors)}` : dim(name)}`;
    }),
    bold("input"),
    indentJson(input),
    ...(output === undefined ? [] : [bold("output"), indentJson(output)]),
  ].join("\n");
}

/** A step's state, and what else there is to say. */
export function renderStep(record: StepRecord, colors: Colors): string {
  const { status, attempts, error, callback, items, progress } = record;
  return [
    renderState(status, colors),
    items ? `${items.succeeded + items.failed}/${items.total}` : "",
    items && items.failed > 0 ? colors.red(`${items.failed} failed`) : "",
    progress ? percent(progress.fraction) : "",
    progress?.message === undefined ? "" : colors.dim(clip(plain(progress.message), REMARK_LENGTH)),
    took(record),
    attempts > 1 ? count(attempts, "attempt") : "",
    callback ? `waits for an answer: millrace flows answer ${plain(callback)}` : "",
    error && status !== "succeeded" ? colors.red(clip(`${error.kind}: ${plain(error.message)}`, REMARK_LENGTH)) : "",
  ]
    .filter((part) => part !== "")
    .join("  ");
}

interface Row {
  readonly depth: number;
  readonly label: string;
  readonly record?: StepRecord;
}

function rowsOf(steps: readonly StepRecord[], definition: Block): readonly Row[] {
  const types = new Map(stepsOf(definition).map(({ name, type }) => [name, type]));
  return rowsIn(
    "",
    0,
    grouped(steps, ({ path }) => pathAround(path)),
    types,
  );
}

type Inside = ReadonlyMap<string, readonly StepRecord[]>;

function rowsIn(path: string, depth: number, inside: Inside, types: ReadonlyMap<string, StepType>): readonly Row[] {
  return (inside.get(path) ?? []).flatMap((record): readonly Row[] => {
    const row = { depth, label: labelOf(record.path), record };
    const type = types.get(record.step);
    const within = type === "map" || type === "repeat" ? manyIn(record, type, depth + 1, inside, types) : [];
    return [row, ...within, ...rowsIn(record.path, depth + 1, inside, types)];
  });
}

/** Of a map, the items that are not well or not over; of a repeat, its last round. */
function manyIn(
  { path }: StepRecord,
  type: "map" | "repeat",
  depth: number,
  inside: Inside,
  types: ReadonlyMap<string, StepType>,
): readonly Row[] {
  const all = [...inside.keys()].filter(
    (key) => key.startsWith(`${path}[`) && /^\[\d+\]$/.test(key.slice(path.length)),
  );
  const shown = type === "repeat" ? all.slice(-1) : all.filter((key) => inside.get(key)!.some(isOdd));
  const rows = shown
    .slice(0, MOST_SHOWN)
    .flatMap((key) => [{ depth, label: key.slice(path.length) }, ...rowsIn(key, depth + 1, inside, types)]);
  const rest = shown.length - MOST_SHOWN;
  return rest > 0 ? [...rows, { depth, label: `… and ${rest} more` }] : rows;
}

const isOdd = ({ status }: StepRecord): boolean => status !== "succeeded";

/** What a step is inside of, with the item or the round: of `each[3]/encode` it is `each[3]`. */
const pathAround = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));

const labelOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
