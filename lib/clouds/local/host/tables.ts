import type { TablePlan } from "../../../parts/plan.ts";
import type { Clock } from "../../../runtime/clock.ts";
import { checkKey, laterText, pageLimit } from "../../../runtime/conditions.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Row, TableReader, TableWriter } from "../../../runtime/ports.ts";
import type { Duty } from "./agenda.ts";
import type { Journal } from "./journal.ts";

/** What has expired is not answered any more, so collecting it has time; milliseconds between two collections. */
const COLLECTION_PAUSE = 60_000;

/** Versions are counted over all rows for ever: a row that was removed and put again has another one. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS table_rows (
    name TEXT NOT NULL,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    expires REAL,
    PRIMARY KEY (name, partition, sort)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS table_rows_by_expiry ON table_rows (expires) WHERE expires IS NOT NULL;
  CREATE TABLE IF NOT EXISTS table_versions (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT;
  INSERT OR IGNORE INTO table_versions VALUES (1, 0);
`;

interface StoredRow {
  readonly sort: string;
  readonly value: string;
  readonly version: number;
  readonly expires: number | null;
}

type QueryOptions = NonNullable<Parameters<TableReader["query"]>[1]>;
type PutOptions = NonNullable<Parameters<TableWriter["put"]>[3]>;
type RemoveOptions = NonNullable<Parameters<TableWriter["remove"]>[2]>;

export interface TablesOptions {
  readonly journal: Journal;
  readonly clock: Clock;
}

/** The local cloud's tables: rows of the journal, as JSON. */
export class Tables implements Duty {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #plans = new Map<string, TablePlan>();
  #collectAfter = 0;

  constructor({ journal, clock }: TablesOptions) {
    this.#journal = journal;
    this.#clock = clock;
    journal.define(SCHEMA);
  }

  /** Makes a table, or changes its plan; its rows stay. */
  define(plan: TablePlan): void {
    this.#plans.set(plan.name, plan);
  }

  /** In the order they were defined. */
  names(): readonly string[] {
    return [...this.#plans.keys()];
  }

  /** @throws `not-found` if there is no such table. */
  reader(table: string): TableReader {
    this.#check(table);
    return {
      get: async <Value>(partition: string, sort: string) => this.#get<Value>(table, partition, sort),
      query: async <Value>(partition: string, options?: QueryOptions) => this.#query<Value>(table, partition, options),
    };
  }

  /** @throws `not-found` if there is no such table. */
  writer(table: string): TableWriter {
    this.#check(table);
    return {
      put: async (...args) => this.#put(table, ...args),
      remove: async (...args) => this.#remove(table, ...args),
    };
  }

  next(): number | undefined {
    const { time } = this.#journal
      .sql("SELECT min(expires) AS time FROM table_rows WHERE expires IS NOT NULL")
      .get() as { time: number | null };
    return time === null ? undefined : Math.max(time, this.#collectAfter);
  }

  /** Removes rows that have expired. */
  run(now: number): void {
    this.#journal.sql("DELETE FROM table_rows WHERE expires <= ?").run(now);
    this.#collectAfter = now + COLLECTION_PAUSE;
  }

  #check(table: string): void {
    if (this.#plans.has(table)) return;
    throw new MillraceError("not-found", `no table ${table}; there are: ${this.names().join(", ") || "none"}`);
  }

  #get<Value>(table: string, partition: string, sort: string): Row<Value> | undefined {
    checkRowKey(partition, sort);
    const row = this.#journal
      .sql(
        `SELECT ${COLUMNS} FROM table_rows
         WHERE name = ? AND partition = ? AND sort = ? AND (expires IS NULL OR expires > ?)`,
      )
      .get(table, partition, sort, this.#clock.now()) as unknown as StoredRow | undefined;
    return row && toRow<Value>(partition, row);
  }

  #query<Value>(
    table: string,
    partition: string,
    { prefix = "", after = "", limit }: QueryOptions = {},
  ): { rows: readonly Row<Value>[]; next?: string } {
    checkKey(partition, "a partition key");
    const most = pageLimit(limit);
    const rows: Row<Value>[] = [];
    // SQLite compares text by its UTF-8 bytes, so the rows of a prefix lie together.
    const stored = this.#journal
      .sql(
        `SELECT ${COLUMNS} FROM table_rows
         WHERE name = ? AND partition = ? AND sort >= ? AND (expires IS NULL OR expires > ?) ORDER BY sort`,
      )
      .iterate(table, partition, laterText(prefix, after), this.#clock.now());
    for (const row of stored as unknown as Iterable<StoredRow>) {
      if (row.sort === after) continue;
      if (!row.sort.startsWith(prefix)) break;
      if (rows.length === most) return { rows, next: rows.at(-1)!.sort };
      rows.push(toRow<Value>(partition, row));
    }
    return { rows };
  }

  #put(
    table: string,
    partition: string,
    sort: string,
    value: unknown,
    { ifVersion, expires }: PutOptions = {},
  ): string {
    const text = JSON.stringify(value);
    if (text === undefined) throw new MillraceError("bad-input", `a row's value is JSON, got ${typeof value}`);
    return this.#journal.transaction(() => {
      this.#checkVersion(table, partition, sort, ifVersion);
      const { count } = this.#journal.sql("UPDATE table_versions SET count = count + 1 RETURNING count").get() as {
        count: number;
      };
      this.#journal
        .sql("INSERT OR REPLACE INTO table_rows VALUES (?, ?, ?, ?, ?, ?)")
        .run(table, partition, sort, text, count, expires ?? null);
      return String(count);
    });
  }

  #remove(table: string, partition: string, sort: string, { ifVersion }: RemoveOptions = {}): void {
    this.#journal.transaction(() => {
      this.#checkVersion(table, partition, sort, ifVersion);
      this.#journal
        .sql("DELETE FROM table_rows WHERE name = ? AND partition = ? AND sort = ?")
        .run(table, partition, sort);
    });
  }

  /** An expired row counts as absent. */
  #checkVersion(table: string, partition: string, sort: string, wanted: string | undefined): void {
    const found = this.#get(table, partition, sort)?.version ?? "absent";
    if (wanted === undefined || wanted === found) return;
    throw new MillraceError(
      "conflict",
      `row ${partition} ${sort} of table ${table}: version is ${found}, not ${wanted}`,
    );
  }
}

const COLUMNS = "sort, value, version, expires";

const toRow = <Value>(partition: string, { sort, value, version, expires }: StoredRow): Row<Value> => ({
  partition,
  sort,
  value: JSON.parse(value),
  version: String(version),
  ...(expires !== null && { expires }),
});

function checkRowKey(partition: string, sort: string): void {
  checkKey(partition, "a partition key");
  checkKey(sort, "a sort key");
}
