import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MillraceError } from "../../../runtime/errors.ts";

/** What DuckDB may have of the machine. */
export interface DuckSettings {
  /** Bytes. What is beyond goes to the scratch folder. */
  readonly memory: number;
  readonly threads: number;
}

/** A query that DuckDB refuses or cannot finish. */
export class DuckError extends Error {
  override readonly name = "DuckError";
  /** Whether it may be a record that is to blame. */
  readonly isOfData: boolean;

  constructor(message: string) {
    super(message.slice(0, 1000));
    this.isOfData = /^(Invalid Input|Conversion|Out of Range) Error/.test(message);
  }
}

type Module = typeof import("@duckdb/node-api");
type Instance = Awaited<ReturnType<Module["DuckDBInstance"]["create"]>>;
type Connection = Awaited<ReturnType<Instance["connect"]>>;

/**
 * DuckDB in memory, for one invocation. It reads and writes in one folder, and nowhere else: what a query, or a function
 * in it that is made to by a record, asks of other files, of the network or of extensions is refused, and nothing can
 * allow it again. https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview
 */
export class Duck {
  /** Where it reads and writes. */
  readonly folder: string;
  readonly #instance: Instance;
  readonly #connection: Connection;
  readonly #signal: AbortSignal;
  readonly #interrupt: () => void;

  private constructor(folder: string, instance: Instance, connection: Connection, signal: AbortSignal) {
    this.folder = folder;
    this.#instance = instance;
    this.#connection = connection;
    this.#signal = signal;
    this.#interrupt = () => connection.interrupt();
    signal.addEventListener("abort", this.#interrupt);
  }

  /** @param files that it may read besides those in its folder */
  static async open(
    scratch: string,
    settings: DuckSettings,
    signal: AbortSignal,
    files: readonly string[] = [],
  ): Promise<Duck> {
    // Loaded when it is first asked for: the package is beside the bundle.
    const { DuckDBInstance } = await import("@duckdb/node-api");
    const folder = join(scratch, "duck");
    mkdirSync(folder, { recursive: true });
    const instance = await DuckDBInstance.create(":memory:", {
      threads: String(settings.threads),
      memory_limit: `${Math.floor(settings.memory / 2 ** 20)}MiB`,
      temp_directory: join(folder, "spilled"),
      preserve_insertion_order: "false",
      autoinstall_known_extensions: "false",
      autoload_known_extensions: "false",
    });
    const connection = await instance.connect();
    const duck = new Duck(folder, instance, connection, signal);
    await duck.#restrict(files);
    return duck;
  }

  async #restrict(files: readonly string[]): Promise<void> {
    for (const statement of [
      "PRAGMA enable_profiling = 'json'",
      `PRAGMA profiling_output = ${textOf(this.#profile)}`,
      `SET custom_profiling_settings = '{"OPERATOR_NAME":"true","OPERATOR_CARDINALITY":"true"}'`,
      `SET allowed_directories = [${textOf(`${this.folder}/`)}]`,
      ...(files.length > 0 ? [`SET allowed_paths = [${files.map(textOf).join(", ")}]`] : []),
      "SET enable_external_access = false",
      "SET lock_configuration = true",
    ]) {
      await this.run(statement);
    }
  }

  get #profile(): string {
    return join(this.folder, "profile.json");
  }

  /** Where a file of that name lies, as SQL writes it. */
  file(name: string): string {
    return textOf(join(this.folder, name));
  }

  /** Runs one statement. @throws DuckError */
  async run(statement: string): Promise<void> {
    await this.#each(() => this.#connection.run(statement));
  }

  /** The rows, their values as JSON has them: large numbers are texts. @throws DuckError */
  async rows(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return this.#each(async () => (await this.#connection.runAndReadAll(statement)).getRowObjectsJson());
  }

  /** How many rows a `COPY` writes. @throws DuckError */
  async copy(query: string, name: string, options: string): Promise<number> {
    const [row] = await this.rows(`COPY (${query}\n) TO ${this.file(name)} (${options})`);
    return Number(row!.Count);
  }

  /** Rows of texts, some thousand at once. @throws DuckError */
  async *texts(query: string): AsyncGenerator<readonly (readonly (string | null)[])[], void> {
    const result = await this.#each(() => this.#connection.stream(query));
    for (;;) {
      const chunk = await this.#each(() => result.fetchChunk());
      if (!chunk || chunk.rowCount === 0) return;
      yield chunk.getRows() as readonly (readonly (string | null)[])[];
    }
  }

  /** Columns of a query, with their types. @throws DuckError */
  async columnsOf(query: string): Promise<readonly (readonly [name: string, type: string])[]> {
    const rows = await this.rows(`DESCRIBE ${query}`);
    return rows.map(({ column_name, column_type }) => [String(column_name), String(column_type)] as const);
  }

  /** Rows that the last query has read of files, by how often it went through them. */
  scanned(): { readonly rows: number; readonly scans: number } {
    const count = ({ operator_name = "", operator_cardinality = 0, children = [] }: Operator): Scanned => {
      const own = /^(READ_|PARQUET_SCAN)/.test(operator_name.trim()) ? { rows: operator_cardinality, scans: 1 } : NONE;
      const add = (all: Scanned, { rows, scans }: Scanned) => ({ rows: all.rows + rows, scans: all.scans + scans });
      return children.map(count).reduce(add, own);
    };
    return count(JSON.parse(readFileSync(this.#profile, "utf8")) as Operator);
  }

  /** The query, if it is one SELECT and nothing else. @throws `bad-input` */
  async checked(query: string): Promise<string> {
    const { StatementType } = await import("@duckdb/node-api");
    const statements = await this.#each(() => this.#connection.extractStatements(query));
    const only = statements.count === 1 ? await this.#each(() => statements.prepare(0)) : undefined;
    if (only?.statementType !== StatementType.SELECT) {
      throw new MillraceError("bad-input", `sql: one SELECT is wanted, got: ${query.slice(0, 200)}`);
    }
    only.destroySync();
    return query.replace(/[;\s]+$/, "");
  }

  close(): void {
    this.#signal.removeEventListener("abort", this.#interrupt);
    this.#connection.closeSync();
    this.#instance.closeSync();
  }

  async #each<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      this.#signal.throwIfAborted();
      throw new DuckError((error as Error).message);
    }
  }
}

interface Operator {
  readonly operator_name?: string;
  readonly operator_cardinality?: number;
  readonly children?: readonly Operator[];
}

interface Scanned {
  readonly rows: number;
  readonly scans: number;
}
const NONE: Scanned = { rows: 0, scans: 0 };

/** As SQL writes a text. */
export const textOf = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** As SQL writes the name of a column. */
export const nameOf = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** What DuckDB says, as a run is told of it: a query that is wrong is not tried again. */
export function toMillraceError(error: unknown, what: string): unknown {
  if (!(error instanceof DuckError)) return error;
  const isOfMachine = /^(Out of Memory|IO|Internal|FATAL|TransactionContext)/.test(error.message);
  return new MillraceError(isOfMachine ? "failed" : "bad-input", `${what}: ${error.message}`, { cause: error });
}
