import { createHash } from "node:crypto";
import type { SQLInputValue, SQLOutputValue } from "node:sqlite";
import type { ErrorRecord } from "../../../runtime/errors.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import { preview, type StepEntry } from "../../../runtime/workflows/journal.ts";
import {
  type Answer,
  WORKFLOW_STATUSES,
  type WorkflowFilter,
  type WorkflowRun,
  type WorkflowStatus,
} from "../../../runtime/workflows/run.ts";
import type { Block } from "../../../shared/workflow/definition.ts";
import type { Journal } from "./journal.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS workflow_definitions (hash TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS workflow_runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow TEXT NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, definition TEXT NOT NULL,
    started INTEGER NOT NULL, deadline INTEGER NOT NULL, ended INTEGER, retries INTEGER NOT NULL DEFAULT 0,
    input TEXT NOT NULL, output TEXT, error TEXT,
    UNIQUE (workflow, id)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS workflow_runs_by_status ON workflow_runs (workflow, status, sequence);
  CREATE INDEX IF NOT EXISTS workflow_runs_open ON workflow_runs (sequence) WHERE ended IS NULL;
  CREATE TABLE IF NOT EXISTS workflow_steps (
    run INTEGER NOT NULL, path TEXT NOT NULL, entry TEXT NOT NULL, PRIMARY KEY (run, path)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS workflow_answers (
    run INTEGER NOT NULL, path TEXT NOT NULL, answer TEXT NOT NULL, PRIMARY KEY (run, path)
  ) STRICT, WITHOUT ROWID;
`;

/** A run as it lies in the journal. Times are milliseconds since 1970. */
export interface RunRow {
  readonly sequence: number;
  readonly workflow: string;
  readonly id: string;
  readonly status: WorkflowStatus;
  readonly definition: Block;
  readonly started: number;
  readonly deadline: number;
  readonly ended?: number;
  readonly retries: number;
  readonly input: unknown;
  readonly output?: unknown;
  readonly error?: ErrorRecord;
}

export type NewRun = Pick<RunRow, "workflow" | "id" | "definition" | "started" | "deadline" | "input">;

/** What changes of a run. */
export interface RunChange {
  readonly status: WorkflowStatus;
  readonly deadline?: number;
  /** Absent: it is not over. */
  readonly ended?: number;
  readonly retries?: number;
  readonly output?: unknown;
  readonly error?: ErrorRecord;
}

/** An entry of a run's step, on its way into the journal. */
export interface EntryOf {
  readonly run: number;
  readonly entry: StepEntry;
}

/** Runs of workflows, their steps and answers in the local cloud's journal. */
export class WorkflowStore {
  readonly #journal: Journal;
  /** By hash: runs of one workflow share theirs. */
  readonly #definitions = new Map<string, Block>();

  constructor(journal: Journal) {
    this.#journal = journal;
    journal.define(SCHEMA);
  }

  /** The run that is there now, and whether it was there before. */
  insert({ workflow, id, definition, started, deadline, input }: NewRun): { row: RunRow; isNew: boolean } {
    return this.#journal.transaction(() => {
      const text = JSON.stringify(definition);
      const hash = createHash("sha256").update(text).digest("hex");
      this.#journal
        .sql("INSERT INTO workflow_definitions (hash, text) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .run(hash, text);
      const { changes } = this.#journal
        .sql(
          `INSERT INTO workflow_runs (workflow, id, status, definition, started, deadline, input)
            VALUES (?, ?, 'running', ?, ?, ?, ?) ON CONFLICT (workflow, id) DO NOTHING`,
        )
        .run(workflow, id, hash, started, deadline, JSON.stringify(input ?? null));
      return { row: this.get(workflow, id)!, isNew: changes === 1 };
    });
  }

  get(workflow: string, id: string): RunRow | undefined {
    const found = this.#journal.sql("SELECT * FROM workflow_runs WHERE workflow = ? AND id = ?").get(workflow, id);
    return found && this.#decode(found);
  }

  /** Runs that are not over, in the order they began. */
  open(): readonly RunRow[] {
    return this.#journal
      .sql("SELECT * FROM workflow_runs WHERE ended IS NULL ORDER BY sequence")
      .all()
      .map((row) => this.#decode(row));
  }

  update(
    row: RunRow,
    { status, deadline = row.deadline, retries = row.retries, ended, output, error }: RunChange,
  ): RunRow {
    this.#journal
      .sql(
        "UPDATE workflow_runs SET status = ?, deadline = ?, retries = ?, ended = ?, output = ?, error = ? WHERE sequence = ?",
      )
      .run(status, deadline, retries, ended ?? null, textOf(output), textOf(error), row.sequence);
    return this.get(row.workflow, row.id)!;
  }

  /** Newest first. */
  list(workflow: string, filter: WorkflowFilter): { readonly rows: readonly RunRow[]; readonly next?: string } {
    const { limit = 100, status } = filter;
    const statuses = status === undefined ? WORKFLOW_STATUSES : new Set([status].flat());
    // One walk along the index for each status, merged: an `IN` would sort all that match.
    const rows = [...statuses]
      .flatMap((one) => this.#listOne(workflow, one, filter, limit + 1))
      .sort((one, other) => other.sequence - one.sequence);
    const page = rows.slice(0, limit);
    return rows.length > limit ? { rows: page, next: String(page.at(-1)!.sequence) } : { rows: page };
  }

  entries(run: number): readonly StepEntry[] {
    return this.#journal
      .sql("SELECT entry FROM workflow_steps WHERE run = ?")
      .all(run)
      .map(({ entry }) => JSON.parse(String(entry)) as StepEntry);
  }

  /** All of them, or none; an answer that led to the end of what asked is forgotten with it. */
  write(entries: Iterable<EntryOf>): void {
    this.#journal.transaction(() => {
      for (const { run, entry } of entries) {
        this.#journal
          .sql("INSERT OR REPLACE INTO workflow_steps (run, path, entry) VALUES (?, ?, ?)")
          .run(run, entry.path, JSON.stringify(entry));
        if (entry.callback !== undefined && isAnswered(entry)) {
          this.#journal.sql("DELETE FROM workflow_answers WHERE run = ? AND path = ?").run(run, entry.path);
        }
      }
    });
  }

  /** The first answer counts. */
  addAnswer(run: number, path: string, answer: Answer): void {
    this.#journal
      .sql("INSERT INTO workflow_answers (run, path, answer) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
      .run(run, path, JSON.stringify(answer));
  }

  answer(run: number, path: string): Answer | undefined {
    const found = this.#journal.sql("SELECT answer FROM workflow_answers WHERE run = ? AND path = ?").get(run, path);
    return found && (JSON.parse(String(found.answer)) as Answer);
  }

  #listOne(workflow: string, status: WorkflowStatus, filter: WorkflowFilter, limit: number): readonly RunRow[] {
    const { after, before, prefix, cursor } = filter;
    const wheres = ["workflow = ?", "status = ?"];
    const values: SQLInputValue[] = [workflow, status];
    const where = (condition: string, ...given: readonly SQLInputValue[]) => {
      wheres.push(condition);
      values.push(...given);
    };
    if (after !== undefined) where("started >= ?", Date.parse(after));
    if (before !== undefined) where("started < ?", Date.parse(before));
    if (prefix) where("substr(id, 1, length(?)) = ?", prefix, prefix);
    if (cursor !== undefined) where("sequence < ?", sequenceOf(cursor));
    return this.#journal
      .sql(`SELECT * FROM workflow_runs WHERE ${wheres.join(" AND ")} ORDER BY sequence DESC LIMIT ? + 0`)
      .all(...values, limit)
      .map((row) => this.#decode(row));
  }

  #decode(row: Record<string, SQLOutputValue>): RunRow {
    const { sequence, workflow, id, status, started, deadline, ended, retries, input, output, error } = row;
    return {
      sequence: Number(sequence),
      workflow: String(workflow),
      id: String(id),
      status: String(status) as WorkflowStatus,
      definition: this.#definition(String(row.definition)),
      started: Number(started),
      deadline: Number(deadline),
      retries: Number(retries),
      input: JSON.parse(String(input)),
      ...(ended !== null && { ended: Number(ended) }),
      ...(output !== null && { output: JSON.parse(String(output)) as unknown }),
      ...(error !== null && { error: JSON.parse(String(error)) as ErrorRecord }),
    };
  }

  #definition(hash: string): Block {
    const known = this.#definitions.get(hash);
    if (known) return known;
    const found = this.#journal.sql("SELECT text FROM workflow_definitions WHERE hash = ?").get(hash);
    const definition = JSON.parse(String(found?.text)) as Block;
    this.#definitions.set(hash, definition);
    return definition;
  }
}

/** A run as everybody sees it. */
export const toRun = ({ workflow, id, status, started, ended, error, input, output }: RunRow): WorkflowRun => ({
  ...{ workflow, id, status },
  started: new Date(started).toISOString(),
  ...(ended !== undefined && { ended: new Date(ended).toISOString() }),
  ...(error && { error }),
  inputPreview: preview(input),
  ...(output !== undefined && { outputPreview: preview(output) }),
});

/** A step that was stopped is asked again; the answer to its question may have come meanwhile. */
const isAnswered = ({ status }: StepEntry): boolean =>
  status !== "running" && status !== "waiting" && status !== "stopped";

const textOf = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));

function sequenceOf(cursor: string): number {
  if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
  throw new MillraceError("bad-input", `cursor: must be the "next" of the page before, got "${cursor}"`);
}
