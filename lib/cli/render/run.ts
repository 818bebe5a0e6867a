import type { NewLogLine } from "../../runtime/tasks/logs.ts";
import { isFinal, type Task, type TaskAudit, type TaskStatus } from "../../runtime/tasks/task.ts";
import type { Colors, Terminal } from "../terminal.ts";
import { percent, progressBar } from "./progress.ts";
import { renderTable } from "./table.ts";
import { clip, indentJson, plain } from "./text.ts";
import { formatBetween, formatClock, formatTime } from "./time.ts";

const STYLES: Readonly<Record<TaskStatus, keyof Colors & ("dim" | "cyan" | "yellow" | "green" | "red")>> = {
  queued: "dim",
  running: "cyan",
  retrying: "yellow",
  succeeded: "green",
  failed: "red",
  stopping: "yellow",
  stopped: "yellow",
  expired: "yellow",
};

export const renderStatus = (status: TaskStatus, colors: Colors): string => colors[STYLES[status]](status);

/** Longest part of an error or a message that a table's line shows. */
const REMARK_LENGTH = 60;

/** Runs, one a line. */
export function renderRuns(tasks: readonly Task[], terminal: Terminal): string {
  const rows = tasks.map((task) => [
    plain(task.id),
    renderStatus(task.status, terminal.colors),
    percent(task.progress),
    formatTime(task.submitted),
    took(task),
    String(task.attempts.length),
    plain(task.tenant ?? ""),
    clip(plain(task.error?.message ?? task.progressMessage ?? ""), REMARK_LENGTH),
  ]);
  return renderTable(["ID", "STATUS", "DONE", "SUBMITTED", "TOOK", "TRIES", "TENANT", ""], rows, terminal);
}

/** A run on one line, as it is now or as it ended. */
export function renderRunLine(task: Task, colors: Colors): string {
  const error = task.error && isFinal(task.status) && `: ${plain(task.error.message)}`;
  const time = isFinal(task.status) && took(task) !== "" ? ` in ${took(task)}` : "";
  return `${task.task} ${plain(task.id)} ${renderStatus(task.status, colors)}${time}${error || ""}`;
}

/** A run at work: a bar and what it says. */
export const renderRunBar = (task: Task, colors: Colors): string =>
  [
    progressBar(task.progress),
    `${task.task} ${clip(plain(task.id), REMARK_LENGTH)}`,
    task.status === "running" ? "" : renderStatus(task.status, colors),
    colors.dim(clip(plain(task.progressMessage ?? ""), REMARK_LENGTH)),
  ]
    .filter((part) => part !== "")
    .join("  ");

const took = ({ started, ended }: Task): string => (started && ended ? formatBetween(started, ended) : "");

/** All that is known of a run. */
export function renderAudit({ task, payload, result, events }: TaskAudit, terminal: Terminal): string {
  const { bold, dim, red } = terminal.colors;
  const facts: readonly (readonly [string, string | undefined])[] = [
    [
      "status",
      `${renderStatus(task.status, terminal.colors)}  ${percent(task.progress)} ${plain(task.progressMessage ?? "")}`.trimEnd(),
    ],
    ["error", task.error && red(`${task.error.kind}: ${plain(task.error.message)}`)],
    ["tenant", task.tenant && plain(task.tenant)],
    ["priority", task.priority === 0 ? undefined : String(task.priority)],
    [
      "tags",
      Object.entries(task.tags)
        .map(([name, value]) => plain(`${name}=${value}`))
        .join(" ") || undefined,
    ],
    ["submitted", formatTime(task.submitted)],
    // Submitting takes a moment.
    ["due", formatTime(task.due) === formatTime(task.submitted) ? undefined : formatTime(task.due)],
    ["expires", task.expires && formatTime(task.expires)],
    ["deadline", task.deadline && formatTime(task.deadline)],
    ["started", task.started && formatTime(task.started)],
    ["ended", task.ended && `${formatTime(task.ended)}${took(task) && `, took ${took(task)}`}`],
  ];
  return [
    bold(`${task.task} ${plain(task.id)}`),
    ...facts.flatMap(([name, value]) => (value ? [`  ${dim(name.padEnd(10))} ${value}`] : [])),
    bold("attempts"),
    ...task.attempts.map(({ number, started, ended, error }) => {
      const end = ended ? `took ${formatBetween(started, ended)}` : "at work";
      return `  ${number}  ${formatTime(started)}  ${end}${error ? `  ${red(`${error.kind}: ${plain(error.message)}`)}` : ""}`;
    }),
    bold("events"),
    ...events.map(
      ({ time, type, by, message }) =>
        `  ${formatTime(time)}  ${type} ${dim(`by ${plain(by)}`)}${message ? `  ${plain(message)}` : ""}`,
    ),
    bold("payload"),
    indentJson(payload),
    ...(result === undefined ? [] : [bold("result"), indentJson(result)]),
  ].join("\n");
}

/** Longest part of a log line's fields that is shown among other news; the run's own log has them whole. */
const FIELDS_LENGTH = 300;

/** A line of a run's log. */
export function renderLogLine(
  { time, level, message, fields }: NewLogLine,
  { dim, yellow, red }: Colors,
  { isWhole = false }: { readonly isWhole?: boolean } = {},
): string {
  const style = level === "error" ? red : level === "warn" ? yellow : level === "debug" ? dim : String;
  const text = fields && Object.keys(fields).length > 0 ? plain(JSON.stringify(fields)) : "";
  const facts = text && ` ${dim(isWhole ? text : clip(text, FIELDS_LENGTH))}`;
  const lines = message.split("\n").map(plain).join("\n         ");
  return `${dim(formatClock(time))} ${style(lines)}${facts}`;
}
