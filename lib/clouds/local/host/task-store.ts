import type { SQLInputValue, SQLOutputValue } from "node:sqlite";
import { fromCursor, toCursor } from "../../../runtime/tasks/cursor.ts";
import type { AttemptRef } from "../../../runtime/tasks/ids.ts";
import { isWaiting, type TaskRow, wakeOf } from "../../../runtime/tasks/row.ts";
import { started } from "../../../runtime/tasks/steps.ts";
import type { BodyName, ClaimOptions, RowExtras, RowPage, TaskStore } from "../../../runtime/tasks/store.ts";
import { TASK_STATUSES, type TaskEvent, type TaskFilter, type TaskStatus } from "../../../runtime/tasks/task.ts";
import type { Journal } from "./journal.ts";

/**
 * `ready` and `wake` are derived from the row, for the indexes alone: 1 for a waiting run that is due, 0 for one that
 * is not, nothing for any other; and when somebody must look at it. Each partial index holds only the rows its
 * question is about, so that 100,000 waiting runs cost a claim nothing.
 */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS task_runs (
    task TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, status TEXT NOT NULL,
    tenant TEXT, lane TEXT NOT NULL, priority INTEGER NOT NULL, tags TEXT, deadline INTEGER,
    sequence INTEGER NOT NULL, submitted INTEGER NOT NULL, updated INTEGER NOT NULL, due INTEGER NOT NULL,
    expires INTEGER, lease INTEGER, keep INTEGER, round INTEGER NOT NULL, attempt INTEGER NOT NULL,
    tries INTEGER NOT NULL, interruptions INTEGER NOT NULL, outcomes INTEGER NOT NULL, reruns INTEGER NOT NULL, cause TEXT,
    attempts TEXT, started INTEGER, ended INTEGER, progress REAL NOT NULL, progressMessage TEXT, error TEXT,
    payload TEXT NOT NULL, result TEXT, deliveries TEXT, claims TEXT,
    ready INTEGER, wake INTEGER
  );
  CREATE UNIQUE INDEX IF NOT EXISTS task_runs_id ON task_runs (task, id);
  CREATE INDEX IF NOT EXISTS task_runs_ready ON task_runs (task, priority DESC, due, sequence, id) WHERE ready = 1;
  CREATE INDEX IF NOT EXISTS task_runs_delayed ON task_runs (due) WHERE ready = 0;
  CREATE INDEX IF NOT EXISTS task_runs_held ON task_runs (task, id, lease) WHERE lease IS NOT NULL;
  CREATE INDEX IF NOT EXISTS task_runs_owing ON task_runs (task, id) WHERE deliveries IS NOT NULL;
  CREATE INDEX IF NOT EXISTS task_runs_wake ON task_runs (wake) WHERE wake IS NOT NULL;
  CREATE INDEX IF NOT EXISTS task_runs_status ON task_runs (task, status, sequence, id);

  CREATE TABLE IF NOT EXISTS task_bodies (
    task TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (task, id, name)
  ) WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS task_events (
    task TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL,
    time TEXT NOT NULL, type TEXT NOT NULL, by TEXT NOT NULL, message TEXT,
    PRIMARY KEY (task, id, number)
  ) WITHOUT ROWID;
`;

/** The questions asked with every submit and every finish; tests look at how SQLite answers them. */
export const TASK_QUERIES = {
  promote: "UPDATE task_runs SET ready = 1 WHERE ready = 0 AND due <= ?",
  held: "SELECT count(*) AS held FROM task_runs WHERE task = ? AND lease IS NOT NULL",
  next: `SELECT * FROM task_runs WHERE task = ? AND ready = 1 AND due <= ?
    AND (expires IS NULL OR started IS NOT NULL OR expires > ?) ORDER BY priority DESC, due, sequence, id LIMIT ? + 0`,
  due: "SELECT * FROM task_runs WHERE wake <= ? AND wake IS NOT NULL ORDER BY wake LIMIT ? + 0",
  nextWake: "SELECT min(wake) AS time FROM task_runs WHERE wake IS NOT NULL",
  nextStart: "SELECT min(due) AS time FROM task_runs WHERE ready = 0",
} as const;

/** How a field of a row lies in its column. */
type Form = "plain" | "optional" | "json" | "list" | "map";

/** Every field of a row; the columns have their names. */
const FORMS: { readonly [Field in keyof TaskRow]: Form } = {
  task: "plain",
  id: "plain",
  version: "plain",
  status: "plain",
  tenant: "optional",
  lane: "plain",
  priority: "plain",
  tags: "map",
  deadline: "optional",
  sequence: "plain",
  submitted: "plain",
  updated: "plain",
  due: "plain",
  expires: "optional",
  lease: "optional",
  keep: "optional",
  round: "plain",
  attempt: "plain",
  tries: "plain",
  interruptions: "plain",
  outcomes: "plain",
  reruns: "plain",
  cause: "optional",
  attempts: "list",
  started: "optional",
  ended: "optional",
  progress: "plain",
  progressMessage: "optional",
  error: "json",
  payload: "json",
  result: "json",
  deliveries: "list",
  claims: "list",
};
const FIELDS = Object.keys(FORMS) as (keyof TaskRow)[];

const INSERT = `INSERT INTO task_runs (${[...FIELDS, "ready", "wake"].join(", ")})
  VALUES (${[...FIELDS, "ready", "wake"].map(() => "?").join(", ")}) ON CONFLICT (task, id) DO NOTHING`;

/** Runs in the local cloud's journal. */
export class SqliteTaskStore implements TaskStore {
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
    journal.define(SCHEMA);
  }

  async insert(row: TaskRow, extras: RowExtras): Promise<TaskRow | undefined> {
    return this.#journal.transaction(() => {
      const values = FIELDS.map((field) => encode(field, row));
      const { changes } = this.#journal.sql(INSERT).run(...values, readyOf(row), wakeOf(row) ?? null);
      if (changes === 0) return this.#get(row.task, row.id);
      this.#writeExtras(row, extras);
      return undefined;
    });
  }

  async get(task: string, id: string): Promise<TaskRow | undefined> {
    return this.#get(task, id);
  }

  async update(from: TaskRow, to: TaskRow, extras: RowExtras = {}): Promise<TaskRow | undefined> {
    return this.#journal.transaction(() => {
      const stored = this.#write(from, to);
      if (stored) this.#writeExtras(stored, extras);
      return stored;
    });
  }

  async claim(task: string, { concurrency, limit, now, lease }: ClaimOptions): Promise<readonly TaskRow[]> {
    return this.#journal.transaction(() => {
      this.#journal.sql(TASK_QUERIES.promote).run(now);
      const free = concurrency === undefined ? limit : Math.min(limit, concurrency - this.#held(task));
      if (free <= 0) return [];
      return this.#journal
        .sql(TASK_QUERIES.next)
        .all(task, now, now, free)
        .map(decode)
        .map((row) => {
          const step = started(row, now, lease);
          this.#writeExtras(row, step);
          return this.#write(row, step.row)!;
        });
    });
  }

  async progress({ task, id, attempt }: AttemptRef, fraction: number, message: string | undefined): Promise<boolean> {
    const { changes } = this.#journal
      .sql(
        `UPDATE task_runs SET progress = ?, progressMessage = ?
          WHERE task = ? AND id = ? AND attempt = ? AND lease IS NOT NULL`,
      )
      .run(fraction, message ?? null, task, id, attempt);
    return changes === 1;
  }

  async list(task: string, filter: TaskFilter): Promise<RowPage> {
    const { status, limit = 100, order = "newest" } = filter;
    const statuses = status === undefined ? TASK_STATUSES : new Set([status].flat());
    // One walk along the index for each status, merged: an `IN` would sort all that match.
    const rows = [...statuses]
      .flatMap((one) => this.#listOne(task, one, filter, limit + 1))
      .sort((a, b) => (order === "newest" ? compare(b, a) : compare(a, b)))
      .slice(0, limit + 1);
    if (rows.length <= limit) return { rows };
    const page = rows.slice(0, limit);
    return { rows: page, next: toCursor(page.at(-1)!) };
  }

  async due(now: number, limit: number): Promise<readonly TaskRow[]> {
    return this.#journal.sql(TASK_QUERIES.due).all(now, limit).map(decode);
  }

  async nextDue(): Promise<number | undefined> {
    const times = [TASK_QUERIES.nextWake, TASK_QUERIES.nextStart]
      .map((query) => this.#journal.sql(query).get()?.time)
      .filter((time) => typeof time === "number");
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  async unsettled({ after, limit }: { readonly after?: string; readonly limit: number }): Promise<RowPage> {
    const [task, id] = after === undefined ? ["", ""] : (JSON.parse(after) as [string, string]);
    const rows = ["lease", "deliveries"]
      .flatMap((column) =>
        this.#journal
          .sql(
            `SELECT * FROM task_runs WHERE ${column} IS NOT NULL AND (task, id) > (?, ?) ORDER BY task, id LIMIT ${limit + 1}`,
          )
          .all(task, id)
          .map(decode),
      )
      .sort((a, b) => compareText(a.task, b.task) || compareText(a.id, b.id))
      .filter((row, index, all) => row.task !== all[index - 1]?.task || row.id !== all[index - 1]?.id);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return rows.length > limit && last ? { rows: page, next: JSON.stringify([last.task, last.id]) } : { rows: page };
  }

  async body(task: string, id: string, name: BodyName): Promise<string | undefined> {
    const found = this.#journal
      .sql("SELECT text FROM task_bodies WHERE task = ? AND id = ? AND name = ?")
      .get(task, id, name);
    return found && String(found.text);
  }

  async appendEvent(task: string, id: string, event: TaskEvent): Promise<void> {
    this.#writeEvent(task, id, event);
  }

  async events(task: string, id: string): Promise<readonly TaskEvent[]> {
    return this.#journal
      .sql("SELECT time, type, by, message FROM task_events WHERE task = ? AND id = ? ORDER BY number")
      .all(task, id)
      .map(({ time, type, by, message }) => ({
        time: String(time),
        type: String(type) as TaskEvent["type"],
        by: String(by),
        ...(message !== null && { message: String(message) }),
      }));
  }

  async remove({ task, id, version }: TaskRow): Promise<boolean> {
    return this.#journal.transaction(() => {
      const { changes } = this.#journal
        .sql("DELETE FROM task_runs WHERE task = ? AND id = ? AND version = ?")
        .run(task, id, version);
      if (changes === 0) return false;
      this.#journal.sql("DELETE FROM task_bodies WHERE task = ? AND id = ?").run(task, id);
      this.#journal.sql("DELETE FROM task_events WHERE task = ? AND id = ?").run(task, id);
      return true;
    });
  }

  #get(task: string, id: string): TaskRow | undefined {
    const found = this.#journal.sql("SELECT * FROM task_runs WHERE task = ? AND id = ?").get(task, id);
    return found && decode(found);
  }

  #held(task: string): number {
    return Number(this.#journal.sql(TASK_QUERIES.held).get(task)?.held);
  }

  /** Writes what differs, so that only the indexes it concerns change; nothing if the version is another one. */
  #write(from: TaskRow, to: TaskRow): TaskRow | undefined {
    const stored = { ...to, version: from.version + 1 };
    const changed = FIELDS.filter((field) => from[field] !== stored[field]);
    const columns = changed.map((field) => `${field} = ?`);
    const values = changed.map((field) => encode(field, stored));
    for (const [column, derive] of DERIVED) {
      if (derive(from) === derive(stored) && column !== "ready") continue;
      columns.push(`${column} = ?`);
      values.push(derive(stored));
    }
    const { changes } = this.#journal
      .sql(`UPDATE task_runs SET ${columns.join(", ")} WHERE task = ? AND id = ? AND version = ?`)
      .run(...values, from.task, from.id, from.version);
    return changes === 1 ? stored : undefined;
  }

  #writeExtras({ task, id }: Pick<TaskRow, "task" | "id">, { event, bodies = {} }: RowExtras): void {
    for (const [name, text] of Object.entries(bodies)) {
      if (text === null || text === undefined) {
        this.#journal.sql("DELETE FROM task_bodies WHERE task = ? AND id = ? AND name = ?").run(task, id, name);
      } else {
        this.#journal
          .sql("INSERT OR REPLACE INTO task_bodies (task, id, name, text) VALUES (?, ?, ?, ?)")
          .run(task, id, name, text);
      }
    }
    if (event) this.#writeEvent(task, id, event);
  }

  #writeEvent(task: string, id: string, { time, type, by, message }: TaskEvent): void {
    this.#journal
      .sql(
        `INSERT INTO task_events (task, id, number, time, type, by, message)
          SELECT ?, ?, coalesce(max(number), 0) + 1, ?, ?, ?, ? FROM task_events WHERE task = ? AND id = ?`,
      )
      .run(task, id, time, type, by, message ?? null, task, id);
  }

  #listOne(task: string, status: TaskStatus, filter: TaskFilter, limit: number): TaskRow[] {
    const { after, before, tenant, tags = {}, prefix, order = "newest", cursor } = filter;
    const wheres: string[] = ["task = ?", "status = ?"];
    const values: SQLInputValue[] = [task, status];
    const where = (condition: string, ...given: SQLInputValue[]) => {
      wheres.push(condition);
      values.push(...given);
    };
    if (after !== undefined) where("submitted >= ?", Date.parse(after));
    if (before !== undefined) where("submitted < ?", Date.parse(before));
    if (tenant !== undefined) where("tenant = ?", tenant);
    if (prefix) where("id >= ? AND substr(id, 1, length(?)) = ?", prefix, prefix, prefix);
    for (const [tag, value] of Object.entries(tags)) {
      where("EXISTS (SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = ? AND tag.value = ?)", tag, value);
    }
    if (cursor !== undefined) {
      const { sequence, id } = fromCursor(cursor);
      where(`(sequence, id) ${order === "newest" ? "<" : ">"} (?, ?)`, sequence, id);
    }
    const way = order === "newest" ? "DESC" : "ASC";
    return this.#journal
      .sql(`SELECT * FROM task_runs WHERE ${wheres.join(" AND ")} ORDER BY sequence ${way}, id ${way} LIMIT ? + 0`)
      .all(...values, limit)
      .map(decode);
  }
}

const readyOf = (row: TaskRow): number | null => (isWaiting(row) ? Number(row.due <= row.updated) : null);

const DERIVED = [
  ["ready", readyOf],
  ["wake", (row: TaskRow): number | null => wakeOf(row) ?? null],
] as const;

function encode(field: keyof TaskRow, row: TaskRow): SQLInputValue {
  const value = row[field];
  if (value === undefined) return null;
  if (typeof value !== "object") return value;
  const isEmpty = FORMS[field] !== "json" && Object.keys(value).length === 0;
  return isEmpty ? null : JSON.stringify(value);
}

function decode(columns: Record<string, SQLOutputValue>): TaskRow {
  const row: Record<string, unknown> = {};
  for (const field of FIELDS) row[field] = decodeField(FORMS[field], columns[field] ?? null);
  return row as unknown as TaskRow;
}

function decodeField(form: Form, value: SQLOutputValue): unknown {
  if (form === "plain") return value;
  if (value === null) return form === "list" ? [] : form === "map" ? {} : undefined;
  return form === "optional" ? value : JSON.parse(String(value));
}

const compare = (a: TaskRow, b: TaskRow): number => a.sequence - b.sequence || compareText(a.id, b.id);

/** By UTF-8 bytes, as SQLite does. */
const compareText = (a: string, b: string): number => (a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b)));
