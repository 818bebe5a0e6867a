import { join } from "node:path";
import type { DevEvent } from "../../clouds/local/host/inspect.ts";
import type { CloudKind, PartKind, Plan, SourcePlan } from "../../parts/plan.ts";
import { isFinal, type Task, type TaskStatus } from "../../runtime/tasks/task.ts";
import { isOver, type WorkflowRun, type WorkflowStatus } from "../../runtime/workflows/run.ts";
import { formatProblem } from "../../shared/problem.ts";
import { formatBytes } from "../../shared/size.ts";
import { DEFAULT_FOLDER } from "../options.ts";
import type { Colors, Live, Terminal } from "../terminal.ts";
import { renderFlowLine } from "./flow.ts";
import { renderLogLine, renderRunBar, renderRunLine } from "./run.ts";
import { count, plain } from "./text.ts";
import { formatSpan } from "./time.ts";

export interface Ready {
  readonly url: string;
  readonly plan: Plan;
  readonly folder: string;
  readonly as?: CloudKind;
  readonly milliseconds: number;
  /** Characters in a line. @default any */
  readonly columns?: number | undefined;
}

/** What runs, how to use it, and that it is ready. */
export function renderReady(
  { url, plan, folder, as, milliseconds, columns }: Ready,
  { bold, dim, green }: Colors,
): string {
  const limits = as ? `, with the limits of ${as}` : "";
  const kinds = [...new Set(plan.parts.map(({ kind }) => kind))].filter((kind) => kind !== "function");
  const parts = kinds.map((kind) => `  ${dim(`${kind}s`.padEnd(12))}${inColumns(namesOf(plan, kind), columns)}`);
  const uses = usesOf(plan, folder).map(([what, how]) => `  ${dim(what.padEnd(18))}${how}`);
  return [
    `${bold(`${plan.project}/${plan.stack}`)} on this computer${limits}`,
    "",
    ...parts,
    "",
    ...uses,
    "",
    `${green(`ready in ${formatSpan(milliseconds)}`)}  ${url}  ${dim("Ctrl-C stops")}`,
  ].join("\n");
}

const namesOf = (plan: Plan, kind: PartKind): readonly string[] =>
  plan.parts.filter((part) => part.kind === kind).map(({ name }) => name);

/** Names side by side, those that have no room on lines of their own. */
function inColumns(names: readonly string[], columns = Number.POSITIVE_INFINITY): string {
  const indent = " ".repeat(14);
  const lines: string[] = [];
  for (const name of names) {
    const last = lines.at(-1);
    if (last !== undefined && indent.length + last.length + 2 + name.length <= columns)
      lines.push(`${lines.pop()}  ${name}`);
    else lines.push(name);
  }
  return lines.join(`\n${indent}`);
}

/** What can be done from another terminal, as commands to copy. */
function usesOf(plan: Plan, folder: string): readonly (readonly [string, string])[] {
  const where = folder === DEFAULT_FOLDER ? "" : ` --folder ${folder}`;
  const sources = plan.parts.flatMap((part) => (part.kind === "function" ? part.sources : []));
  const uses = [
    ...sources.flatMap((source) => useOf(source, folder, where)),
    ...namesOf(plan, "task").flatMap((task): [string, string][] => [
      ["submit a run", `millrace tasks submit ${task} '{ … }'${where}`],
      ["watch runs", `millrace tasks list ${task}${where}`],
    ]),
    ...namesOf(plan, "workflow").flatMap((workflow): [string, string][] => [
      ["start a run", `millrace flows start ${workflow} '{ … }'${where}`],
      ["watch its steps", `millrace flows graph ${workflow} --run … --follow${where}`],
    ]),
  ];
  // What is done with one is done with all: their names are above.
  return uses.filter(([what], index) => uses.slice(0, index).filter(([other]) => other === what).length < MOST_USES);
}

/** Commands of a kind that are shown. */
const MOST_USES = 2;

function useOf(source: SourcePlan, folder: string, where: string): readonly (readonly [string, string])[] {
  switch (source.type) {
    case "bucket.created": {
      const key =
        source.prefix === ""
          ? ""
          : ` --key ${source.prefix}${source.prefix.endsWith("/") ? "" : `cat${source.suffix}`}`;
      return [
        ["put a file", `millrace buckets put ${source.bucket} cat${source.suffix || ".mp4"}${key}${where}`],
        ["or drop it into", `${join(folder, "buckets", source.bucket, source.prefix)}`],
      ];
    }
    case "queue.received":
      return [["send a message", `millrace queues send ${source.queue} '{ … }'${where}`]];
    case "stream.consumed":
      return [["append a record", `millrace streams produce ${source.stream} '{ … }'${where}`]];
    case "schedule.fired":
      return [];
  }
}

const REDRAW_MILLISECONDS = 100;
const MOST_BARS = 8;
/** Objects that have a line each of those that appear in a bucket within {@link BURST_MILLISECONDS}. */
const MOST_OBJECTS = 3;
const BURST_MILLISECONDS = 2000;
/** Between two lines about a burst that goes on. */
const COUNT_MILLISECONDS = 10_000;
/** Runs whose last told state is remembered: the one told of longest ago goes first. */
const MOST_SEEN = 10_000;

/** What happens in the local cloud, line by line, over bars of the runs at work. */
export class DevView {
  readonly #terminal: Terminal;
  readonly #live: Live;
  readonly #isJson: boolean;
  readonly #seen = new Map<string, TaskStatus | WorkflowStatus>();
  readonly #atWork = new Map<string, Task>();
  /** By bucket: objects that appear faster than anybody reads. */
  readonly #bursts = new Map<string, Burst>();
  #redraw: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal, { isJson }: { readonly isJson: boolean }) {
    this.#terminal = terminal;
    this.#live = isJson ? { show() {}, clear() {} } : terminal.live();
    this.#isJson = isJson;
  }

  tell(event: DevEvent): void {
    if (this.#isJson) this.#terminal.print(JSON.stringify(event));
    else if (event.type === "task.changed") this.#tellRun(event.task);
    else if (event.type === "workflow.changed") this.#tellFlow(event.run);
    else if (event.type === "object.created") this.#tellObject(event);
    else this.#tellOther(event);
  }

  /** Writes lines above the bars. */
  say(text: string): void {
    this.#live.clear();
    this.#terminal.print(text);
    this.#draw();
  }

  end(): void {
    clearTimeout(this.#redraw);
    for (const [bucket, burst] of this.#bursts) {
      clearTimeout(burst.timer);
      this.#sayMore(bucket, burst);
    }
    this.#bursts.clear();
    this.#atWork.clear();
    this.#live.clear();
  }

  #tellOther(event: OtherEvent): void {
    const line = renderEvent(event, this.#terminal.colors);
    if (line !== undefined) this.say(line);
  }

  /** The first of many that appear together have lines, the others are counted. */
  #tellObject({ bucket, object }: ObjectEvent): void {
    const burst = this.#bursts.get(bucket) ?? this.#beginBurst(bucket, 0);
    if (burst.told < MOST_OBJECTS) {
      const { cyan, dim } = this.#terminal.colors;
      burst.told += 1;
      this.say(`${cyan("object")} ${bucket} ${plain(object.key)} ${dim(formatBytes(object.size))}`);
    } else {
      burst.more += 1;
      burst.bytes += object.size;
    }
  }

  #beginBurst(bucket: string, told: number): Burst {
    const timer = setTimeout(
      () => {
        this.#bursts.delete(bucket);
        if (!this.#sayMore(bucket, burst)) return;
        // It may go on: only what is counted then.
        this.#beginBurst(bucket, MOST_OBJECTS);
      },
      told < MOST_OBJECTS ? BURST_MILLISECONDS : COUNT_MILLISECONDS,
    );
    const burst: Burst = { timer, told, more: 0, bytes: 0 };
    this.#bursts.set(bucket, burst);
    return burst;
  }

  #sayMore(bucket: string, { more, bytes }: Burst): boolean {
    const { cyan, dim } = this.#terminal.colors;
    if (more > 0) this.say(`${cyan("objects")} ${bucket} ${more} more ${dim(formatBytes(bytes))}`);
    return more > 0;
  }

  #tellRun(task: Task): void {
    const name = `${task.task}/${task.id}`;
    const isNews = this.#isNews(name, task.status);
    if (isFinal(task.status)) this.#atWork.delete(name);
    else if (task.status !== "queued") this.#atWork.set(name, task);
    // On a terminal a run at work is a bar already.
    if (isNews && (isFinal(task.status) || !this.#terminal.isLive || task.status === "retrying"))
      this.say(renderRunLine(task, this.#terminal.colors));
    else this.#redraw ??= setTimeout(() => this.#draw(), REDRAW_MILLISECONDS);
  }

  /** Steps come and go without a line: the graph shows them. */
  #tellFlow(run: WorkflowRun): void {
    const isNews = this.#isNews(`flow ${run.workflow}/${run.id}`, run.status);
    if (isNews && (isOver(run.status) || run.status === "running")) {
      this.say(renderFlowLine(run, this.#terminal.colors));
    }
  }

  #isNews(name: string, status: TaskStatus | WorkflowStatus): boolean {
    const isNews = this.#seen.get(name) !== status;
    this.#seen.delete(name);
    this.#seen.set(name, status);
    if (this.#seen.size > MOST_SEEN) this.#seen.delete(this.#seen.keys().next().value!);
    return isNews;
  }

  #draw(): void {
    clearTimeout(this.#redraw);
    this.#redraw = undefined;
    const runs = [...this.#atWork.values()];
    const bars = runs.slice(0, MOST_BARS).map((task) => renderRunBar(task, this.#terminal.colors));
    if (runs.length > MOST_BARS) bars.push(`and ${runs.length - MOST_BARS} more at work`);
    if (bars.length > 0) this.#live.show(bars.join("\n"));
  }
}

const changed = (functions: readonly string[]): string =>
  functions.length === 0 ? "taken, with the same code" : `new code in ${functions.join(", ")}`;

interface Burst {
  readonly timer: NodeJS.Timeout;
  told: number;
  more: number;
  bytes: number;
}

type ObjectEvent = Extract<DevEvent, { type: "object.created" }>;
type OtherEvent = Exclude<DevEvent, { type: "task.changed" | "workflow.changed" | "object.created" }>;

function renderEvent(event: OtherEvent, colors: Colors): string | undefined {
  const { cyan, dim, green, red, yellow } = colors;
  switch (event.type) {
    case "task.logged":
      return event.line.level === "debug"
        ? undefined
        : `${dim(`${event.task} ${plain(event.id)}`)} ${renderLogLine(event.line, colors)}`;
    case "function.logged":
      return event.line.level === "debug" ? undefined : `${dim(event.function)} ${renderLogLine(event.line, colors)}`;
    case "records.consumed": {
      const { stream, partition, first, last, count: amount } = event;
      const offsets = first === last ? `${first}` : `${first}–${last}`;
      return `${cyan("records")} ${stream} ${partition}/${offsets} ${dim(`${count(amount, "record")}, done by ${event.function}`)}`;
    }
    case "alarm.changed": {
      const { state, metric, part, value, above } = event;
      const text = `${state === "alarm" ? "alarm" : "alarm over"}: ${metric} of ${part} ${value} (bound ${above})`;
      return state === "alarm" ? red(text) : green(text);
    }
    case "plan.changed":
      return green("the plan has changed");
    case "code.changed":
      return green(`${changed(event.functions)} after ${formatSpan(event.milliseconds)}`);
    case "warned":
      return yellow(`warning: ${event.message}`);
    case "edit.refused":
      return [
        red(`not taken: ${event.problems.length > 0 ? count(event.problems.length, "problem") : event.message}`),
        ...event.problems.map((problem) => `  ${formatProblem(problem)}`),
      ].join("\n");
  }
}
