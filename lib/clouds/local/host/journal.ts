import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { MillraceError } from "../../../runtime/errors.ts";

/** How long a statement waits for another process's write before it fails; the wait blocks the event loop. */
const BUSY_MILLISECONDS = 2000;

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
  }

  /** Makes a module's own tables, if they are not there. */
  define(schema: string): void {
    this.#db.exec(schema);
  }

  /** A prepared statement, prepared once. */
  sql(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known) return known;
    const statement = this.#db.prepare(text);
    this.#statements.set(text, statement);
    return statement;
  }

  /** All of the work, or nothing of it; nests. The work is synchronous: nothing else happens meanwhile. */
  transaction<Result>(work: () => Result): Result {
    if (this.#depth > 0) return work();
    this.#db.exec("BEGIN IMMEDIATE");
    this.#depth += 1;
    try {
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
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
    throw new MillraceError(
      "refused",
      `${folder} is in use by another millrace process; stop that one first, or work in another folder`,
      { cause: error },
    );
  }
}
