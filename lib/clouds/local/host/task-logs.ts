import type { LogFields, LogLevel } from "../../../runtime/handler.ts";
import type { NewLogLine, TaskLogs } from "../../../runtime/tasks/logs.ts";
import type { TaskLogLine } from "../../../runtime/tasks/task.ts";
import type { Journal } from "./journal.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS task_logs (
    task TEXT NOT NULL, id TEXT NOT NULL, sequence INTEGER NOT NULL,
    time TEXT NOT NULL, attempt INTEGER NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL, fields TEXT,
    PRIMARY KEY (task, id, sequence)
  ) WITHOUT ROWID;
`;

/** Lines a run may log: a loop that prints for 24 hours must not fill the disk. */
export const MOST_LOG_LINES = 100_000;

/** Log lines of runs, in the local cloud's journal. */
export class SqliteTaskLogs implements TaskLogs {
  readonly #journal: Journal;
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(journal: Journal) {
    this.#journal = journal;
    journal.define(SCHEMA);
  }

  /** Lines past the most a run may have are dropped; the last one kept says so. */
  async append(task: string, id: string, lines: readonly NewLogLine[]): Promise<void> {
    if (lines.length === 0) return;
    this.#journal.transaction(() => {
      const last = this.#last(task, id);
      const kept = lines.slice(0, Math.max(0, MOST_LOG_LINES - last));
      for (const [index, line] of kept.entries()) {
        const sequence = last + index + 1;
        this.#write(task, id, sequence, sequence === MOST_LOG_LINES ? full(line) : line);
      }
    });
    for (const listener of this.#listeners.get(keyOf(task, id)) ?? []) listener();
  }

  async read(
    task: string,
    id: string,
    { after, limit }: { readonly after: number; readonly limit: number },
  ): Promise<readonly TaskLogLine[]> {
    return this.#journal
      .sql(
        `SELECT sequence, time, attempt, level, message, fields FROM task_logs
          WHERE task = ? AND id = ? AND sequence > ? ORDER BY sequence LIMIT ? + 0`,
      )
      .all(task, id, after, limit)
      .map(({ sequence, time, attempt, level, message, fields }) => ({
        sequence: Number(sequence),
        time: String(time),
        attempt: Number(attempt),
        level: String(level) as LogLevel,
        message: String(message),
        ...(fields !== null && { fields: JSON.parse(String(fields)) as LogFields }),
      }));
  }

  watch(task: string, id: string, listener: () => void): () => void {
    const key = keyOf(task, id);
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) this.#listeners.delete(key);
    };
  }

  async remove(task: string, id: string): Promise<void> {
    this.#journal.sql("DELETE FROM task_logs WHERE task = ? AND id = ?").run(task, id);
  }

  #last(task: string, id: string): number {
    const found = this.#journal
      .sql("SELECT max(sequence) AS last FROM task_logs WHERE task = ? AND id = ?")
      .get(task, id);
    return Number(found?.last ?? 0);
  }

  #write(task: string, id: string, sequence: number, { time, attempt, level, message, fields }: NewLogLine): void {
    this.#journal
      .sql(
        `INSERT INTO task_logs (task, id, sequence, time, attempt, level, message, fields)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(task, id, sequence, time, attempt, level, message, fields === undefined ? null : JSON.stringify(fields));
  }
}

const full = ({ time, attempt }: NewLogLine): NewLogLine => ({
  time,
  attempt,
  level: "warn",
  message: `the log is full: a run may log ${MOST_LOG_LINES} lines, the following ones are dropped`,
});

const keyOf = (task: string, id: string): string => `${task}\0${id}`;
