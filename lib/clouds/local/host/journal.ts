import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { MillraceError } from "../../../runtime/errors.ts";

/** How long a statement waits for another process's write before it fails; the wait blocks the event loop. */
const BUSY_MILLISECONDS = 2000;

/** 16 MB: a checkpoint waits for the disk twice, and SQLite's own 4 MB would be one every hundred tasks. */
const CHECKPOINT_PAGES = 4000;

/** https://www.sqlite.org/rescode.html */
const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;

const OUTER = ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"] as const;
const NESTED = ["SAVEPOINT nested", "RELEASE nested", "ROLLBACK TO nested; RELEASE nested"] as const;

/**
 * The local cloud's memory: one SQLite file in write-ahead mode. All that matters is written here before it is
 * acted on, so that a killed host goes on where it stopped.
 */
export class Journal {
  readonly folder: string;
  readonly #db: DatabaseSync;
  readonly #lock: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;

  /** @throws `refused` if another process has this folder open. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.folder = folder;
    this.#lock = lockFolder(folder);
    this.#db = new DatabaseSync(join(folder, "journal.db"), { timeout: BUSY_MILLISECONDS });
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
    this.#db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  }

  /** Makes a module's own tables, if they are not there. */
  define(schema: string): void {
    this.#db.exec(schema);
  }

  /**
   * A prepared statement, prepared once. Write `LIMIT ? + 0`: SQLite plans by the value of a bare `LIMIT ?`, and so
   * prepares the statement again at every call, which takes longer than the statement itself
   * (`sqlite3ExprIsInteger` in https://sqlite.org/src/file/src/expr.c).
   */
  sql(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known) return known;
    const statement = this.#db.prepare(text);
    this.#statements.set(text, statement);
    return statement;
  }

  /**
   * All of the work, or nothing of it; a nested one that fails undoes its own part alone. The work is synchronous:
   * nothing else happens meanwhile.
   *
   * @throws `unavailable` if the disk is full.
   */
  transaction<Result>(work: () => Result): Result {
    const [begin, commit, rollback] = this.#depth === 0 ? OUTER : NESTED;
    this.#db.exec(begin);
    this.#depth += 1;
    try {
      const result = work();
      this.#db.exec(commit);
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec(rollback);
      throw isSqliteError(error, SQLITE_FULL) ? fullDisk(this.folder, error) : error;
    } finally {
      this.#depth -= 1;
    }
  }

  close(): void {
    this.#db.close();
    this.#lock.close();
  }
}

/** An exclusive SQLite lock: the system takes it back when the process ends, however it ends. */
function lockFolder(folder: string): DatabaseSync {
  const lock = new DatabaseSync(join(folder, "lock.db"), { timeout: 0 });
  try {
    lock.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if (!isSqliteError(error, SQLITE_BUSY)) throw error;
    throw new MillraceError(
      "refused",
      `${folder} is in use by another millrace process; stop that one first, or work in another folder`,
      { cause: error },
    );
  }
}

/** The error when the local cloud's folder has no room left. */
export const fullDisk = (folder: string, cause: unknown): MillraceError =>
  new MillraceError("unavailable", `the disk of ${folder} is full; make room, then try again`, { cause });

const isSqliteError = (error: unknown, code: number): boolean =>
  error instanceof Error && "errcode" in error && error.errcode === code;
