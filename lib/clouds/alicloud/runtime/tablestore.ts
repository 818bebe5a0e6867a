import { randomUUID } from "node:crypto";
import { checkKey, pageLimit } from "../../../runtime/conditions.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorKind, MillraceError } from "../../../runtime/errors.ts";
import type { Row, TableReader, TableWriter } from "../../../runtime/ports.ts";
import type { AlicloudWorld } from "./account.ts";
import type { Client, Condition, PrimaryKey, StoredRow, TablestoreModule } from "./tablestore-client.ts";

/** A table of Tablestore: `partition` and `sort` as its primary key, the value as JSON beside its version and expiry. */
export async function port(address: LinkAddress, world: AlicloudWorld): Promise<TableReader & TableWriter> {
  declareForgotten();
  const { default: tablestore } = await import("tablestore");
  return new TablestoreTable(tablestore, address, world);
}

/** Variables that the package uses without declaring them: in the strict code that a bundle is, they must be there. */
const FORGOTTEN = ["pro", "sub", "key", "size", "cell_type"];

function declareForgotten(): void {
  for (const name of FORGOTTEN.filter((name) => !(name in globalThis))) {
    Object.defineProperty(globalThis, name, { value: undefined, writable: true, configurable: true });
  }
}

class TablestoreTable implements TableReader, TableWriter {
  readonly #module: TablestoreModule;
  readonly #address: LinkAddress;
  readonly #world: AlicloudWorld;
  readonly #table: string;
  #client: { readonly key: string; readonly client: Client } | undefined;

  constructor(module: TablestoreModule, address: LinkAddress, world: AlicloudWorld) {
    this.#module = module;
    this.#address = address;
    this.#world = world;
    this.#table = field(address, "table");
  }

  async get<Value>(partition: string, sort: string): Promise<Row<Value> | undefined> {
    checkKeys(partition, sort);
    const row = await this.#stored(partition, sort);
    return row && this.#isAlive(row) ? (toRow(row) as Row<Value>) : undefined;
  }

  /** Expired rows are skipped, so that a page may take several requests. */
  async query<Value>(
    partition: string,
    { prefix = "", after, limit }: { readonly prefix?: string; readonly after?: string; readonly limit?: number } = {},
  ): Promise<{ readonly rows: readonly Row<Value>[]; readonly next?: string }> {
    checkKey(partition, "a partition");
    const most = pageLimit(limit);
    const rows: StoredRow[] = [];
    // One more than asked for tells whether there are more.
    let from: string | undefined = startOf(prefix, after);
    while (from !== undefined && rows.length <= most) {
      const page: Range = await this.#range(partition, from, most + 1 - rows.length);
      const matching = page.rows.filter(({ sort }) => sort.startsWith(prefix));
      rows.push(...matching.filter((row) => this.#isAlive(row)));
      // The range goes to the partition's end: the first row that does not match ends it.
      from = matching.length < page.rows.length ? undefined : page.next;
    }
    const page = rows.slice(0, most).map((row) => toRow(row) as Row<Value>);
    return { rows: page, ...(rows.length > most && { next: page.at(-1)!.sort }) };
  }

  async put(
    partition: string,
    sort: string,
    value: unknown,
    { ifVersion, expires }: { readonly ifVersion?: string; readonly expires?: number } = {},
  ): Promise<string> {
    checkKeys(partition, sort);
    const version = randomUUID();
    const write = (condition: Condition) =>
      this.#call(`put into table ${this.#address.part}`, (client) =>
        client.putRow({
          tableName: this.#table,
          condition,
          primaryKey: keyOf(partition, sort),
          attributeColumns: [
            { value: JSON.stringify(value ?? null) },
            { version },
            { expires: this.#module.Long.fromNumber(expires ?? NEVER) },
          ],
        }),
      );
    if (ifVersion !== "absent") {
      await write(this.#condition(ifVersion));
      return version;
    }
    try {
      await write(this.#absent());
    } catch (error) {
      // A row that has expired is as good as absent, but only the one that was looked at.
      const found = (error as MillraceError).kind === "conflict" ? await this.#stored(partition, sort) : undefined;
      if (!found || this.#isAlive(found)) throw error;
      await write(this.#unchanged(found.version));
    }
    return version;
  }

  async remove(partition: string, sort: string, { ifVersion }: { readonly ifVersion?: string } = {}): Promise<void> {
    checkKeys(partition, sort);
    await this.#call(`remove from table ${this.#address.part}`, (client) =>
      client.deleteRow({
        tableName: this.#table,
        condition: this.#condition(ifVersion),
        primaryKey: keyOf(partition, sort),
      }),
    );
  }

  async #stored(partition: string, sort: string): Promise<StoredRow | undefined> {
    const { row } = await this.#call(`get from table ${this.#address.part}`, (client) =>
      client.getRow({ tableName: this.#table, primaryKey: keyOf(partition, sort), maxVersions: 1 }),
    );
    return row?.primaryKey ? readRow(row) : undefined;
  }

  async #range(partition: string, from: string, limit: number): Promise<Range> {
    const { INF_MAX, Direction } = this.#module;
    const { rows, nextStartPrimaryKey } = await this.#call(`query table ${this.#address.part}`, (client) =>
      client.getRange({
        tableName: this.#table,
        direction: Direction.FORWARD,
        maxVersions: 1,
        inclusiveStartPrimaryKey: keyOf(partition, from),
        exclusiveEndPrimaryKey: [{ partition }, { sort: INF_MAX }],
        limit,
      }),
    );
    const next = nextStartPrimaryKey?.find(({ name }) => name === "sort")?.value;
    return { rows: rows.map(readRow), next: typeof next === "string" ? next : undefined };
  }

  #isAlive = ({ expires }: StoredRow): boolean => expires === NEVER || expires > this.#world.clock.now();

  #condition(ifVersion: string | undefined): Condition {
    if (ifVersion === undefined) {
      return new this.#module.Condition(this.#module.RowExistenceExpectation.IGNORE, null);
    }
    return ifVersion === "absent" ? this.#absent() : this.#alive(ifVersion);
  }

  #absent(): Condition {
    return new this.#module.Condition(this.#module.RowExistenceExpectation.EXPECT_NOT_EXIST, null);
  }

  #unchanged(version: string): Condition {
    const { SingleColumnCondition, ComparatorType, RowExistenceExpectation } = this.#module;
    const same = new SingleColumnCondition("version", version, ComparatorType.EQUAL, false);
    return new this.#module.Condition(RowExistenceExpectation.EXPECT_EXIST, same);
  }

  /** Of that version, and not expired. */
  #alive(version: string): Condition {
    const { SingleColumnCondition, CompositeCondition, ComparatorType, LogicalOperator, Long } = this.#module;
    const is = (value: number, comparator: number) =>
      new SingleColumnCondition("expires", Long.fromNumber(value), comparator, false);
    const alive = new CompositeCondition(LogicalOperator.OR);
    alive.addSubCondition(is(NEVER, ComparatorType.EQUAL));
    alive.addSubCondition(is(this.#world.clock.now(), ComparatorType.GREATER_THAN));
    const both = new CompositeCondition(LogicalOperator.AND);
    both.addSubCondition(new SingleColumnCondition("version", version, ComparatorType.EQUAL, false));
    both.addSubCondition(alive);
    return new this.#module.Condition(this.#module.RowExistenceExpectation.EXPECT_EXIST, both);
  }

  async #call<Answer>(what: string, work: (client: Client) => Promise<Answer>): Promise<Answer> {
    this.#world.signal.throwIfAborted();
    try {
      return await work(this.#connected());
    } catch (error) {
      throw toMillraceError(what, error as TablestoreError);
    }
  }

  /** The client keeps its keys: new keys, a new client. */
  #connected(): Client {
    const { accessKeyId, accessKeySecret, securityToken } = this.#world.credentials();
    const key = `${accessKeyId} ${securityToken ?? ""}`;
    if (this.#client?.key === key) return this.#client.client;
    const instance = field(this.#address, "instance");
    const client = new this.#module.Client({
      accessKeyId,
      secretAccessKey: accessKeySecret,
      ...(securityToken && { stsToken: securityToken }),
      endpoint: this.#address.endpoint ?? `https://${instance}.${field(this.#address, "region")}.ots.aliyuncs.com`,
      instancename: instance,
      maxRetries: TRIES,
    });
    this.#client = { key, client };
    return client;
  }
}

interface Range {
  readonly rows: readonly StoredRow[];
  readonly next: string | undefined;
}

/** Tries of one request after the first; the client's own policy says of which. */
const TRIES = 5;
/** No row is kept from 1970: the column is there in every row, so that a condition can be asked of it. */
const NEVER = 0;

const keyOf = (partition: string, sort: string): PrimaryKey => [{ partition }, { sort }];

const checkKeys = (partition: string, sort: string): void => {
  checkKey(partition, "a partition");
  checkKey(sort, "a sort key");
};

/** The least sort key after `after`: nothing lies between a text and the same text with a zero at its end. */
const startOf = (prefix: string, after: string | undefined): string => {
  const next = after === undefined ? "" : `${after}\0`;
  return Buffer.compare(Buffer.from(next), Buffer.from(prefix)) > 0 ? next : prefix;
};

type ClientRow = NonNullable<Awaited<ReturnType<Client["getRow"]>>["row"]>;

function readRow({ primaryKey = [], attributes = [] }: ClientRow): StoredRow {
  const key = Object.fromEntries(primaryKey.map(({ name, value }) => [name, value]));
  const column = (name: string) => attributes.find(({ columnName }) => columnName === name)?.columnValue;
  return {
    partition: String(key.partition),
    sort: String(key.sort),
    value: String(column("value") ?? "null"),
    version: String(column("version")),
    expires: Number(column("expires") ?? NEVER),
  };
}

const toRow = ({ partition, sort, value, version, expires }: StoredRow): Row => ({
  partition,
  sort,
  value: JSON.parse(value) as unknown,
  version,
  ...(expires !== NEVER && { expires }),
});

interface TablestoreError extends Error {
  readonly code?: number | string;
}

/** The client hands on the answer's bytes as text: the service's code is in it. https://www.alibabacloud.com/help/en/tablestore/developer-reference/error-codes */
function toMillraceError(what: string, error: TablestoreError): MillraceError {
  const [code = ""] = /OTS[A-Za-z]+/.exec(error.message) ?? [];
  return new MillraceError(kindOf(code, error), `${what}: Tablestore answers ${code || error.message}`, {
    cause: error,
  });
}

function kindOf(code: string, { code: status }: TablestoreError): ErrorKind {
  if (code === "OTSConditionCheckFail") return "conflict";
  if (code === "OTSObjectNotExist") return "not-found";
  if (code === "OTSAuthFailed" || code === "OTSNoPermissionAccess" || status === 403) return "refused";
  if (code === "OTSParameterInvalid" || code === "OTSInvalidPK") return "bad-input";
  return "unavailable";
}
