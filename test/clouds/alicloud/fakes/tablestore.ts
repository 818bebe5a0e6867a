import { createHash, createHmac } from "node:crypto";
import tablestorePackage from "tablestore";
import protos from "tablestore/lib/protocol/tablestore_compiled_proto.js";
import { type FakeAnswer, type FakeRequest, FakeServer, isToken, KEYS } from "./server.ts";

type Cell = { readonly name: string; readonly value: unknown };
interface StoredRow {
  readonly primaryKey: readonly Cell[];
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** Tablestore on the wire, from the client's own protocol files: one table of two text keys. */
export class FakeTablestore {
  readonly server = new FakeServer((request) => this.#answer(request));
  readonly #rows = new Map<string, StoredRow>();

  #answer(request: FakeRequest): FakeAnswer {
    if (!isSigned(request)) return error(403, "OTSAuthFailed");
    if (this.server.forbids(request)) return error(403, "OTSNoPermissionAccess");
    switch (request.path) {
      case "/GetRow":
        return this.#getRow(request.body);
      case "/PutRow":
        return this.#putRow(request.body);
      case "/DeleteRow":
        return this.#deleteRow(request.body);
      case "/GetRange":
        return this.#getRange(request.body);
      default:
        return error(400, "OTSUnsupportOperation");
    }
  }

  #getRow(body: Buffer): FakeAnswer {
    const request = main.GetRowRequest.decode(body);
    const found = this.#rows.get(idOf(readCells(request.primaryKey).primaryKey));
    const row = found ? rowBytes(found) : Buffer.alloc(0);
    return ok(main.GetRowResponse.encode(main.GetRowResponse.create({ consumed, row })).finish());
  }

  #putRow(body: Buffer): FakeAnswer {
    const request = main.PutRowRequest.decode(body);
    const { primaryKey, attributes = [] } = readCells(request.row);
    const id = idOf(primaryKey);
    if (!this.#holds(id, request.condition)) return error(403, "OTSConditionCheckFail");
    const columns = attributes.map(({ columnName, columnValue }) => [columnName, columnValue]);
    this.#rows.set(id, { primaryKey, attributes: Object.fromEntries(columns) });
    return ok(main.PutRowResponse.encode(main.PutRowResponse.create({ consumed })).finish());
  }

  #deleteRow(body: Buffer): FakeAnswer {
    const request = main.DeleteRowRequest.decode(body);
    const id = idOf(readCells(request.primaryKey).primaryKey);
    if (!this.#holds(id, request.condition)) return error(403, "OTSConditionCheckFail");
    this.#rows.delete(id);
    return ok(main.DeleteRowResponse.encode(main.DeleteRowResponse.create({ consumed })).finish());
  }

  /** At most 50 rows an answer, so that readers must go on by themselves. */
  #getRange(body: Buffer): FakeAnswer {
    const request = main.GetRangeRequest.decode(body);
    const from = readCells(request.inclusiveStartPrimaryKey).primaryKey;
    const to = readBound(request.exclusiveEndPrimaryKey);
    const matching = [...this.#rows.values()]
      .filter(({ primaryKey }) => compareKeys(primaryKey, from) >= 0 && compareKeys(primaryKey, to) < 0)
      .sort((one, other) => compareKeys(one.primaryKey, other.primaryKey));
    const most = Math.min(Number(request.limit) || 5000, 50);
    const next = matching[most];
    const rows = rowsBytes(matching.slice(0, most));
    return ok(
      main.GetRangeResponse.encode(
        main.GetRangeResponse.create({
          consumed,
          rows,
          ...(next && { nextStartPrimaryKey: keyBytes(next.primaryKey) }),
        }),
      ).finish(),
    );
  }

  /** Of the conditions, those that the port uses; any other one fails the test. */
  #holds(id: string, condition: { rowExistence: number; columnCondition?: Uint8Array }): boolean {
    const found = this.#rows.get(id);
    const { IGNORE, EXPECT_EXIST, EXPECT_NOT_EXIST } = main.RowExistenceExpectation;
    if (condition.rowExistence === EXPECT_EXIST && !found) return false;
    if (condition.rowExistence === EXPECT_NOT_EXIST && found) return false;
    if (![IGNORE, EXPECT_EXIST, EXPECT_NOT_EXIST].includes(condition.rowExistence))
      throw new Error("unknown expectation");
    if (!condition.columnCondition || condition.columnCondition.length === 0) return true;
    return matches(filter.Filter.decode(condition.columnCondition), found?.attributes ?? {});
  }
}

function matches(
  { type, filter: bytes }: { type: number; filter: Uint8Array },
  columns: Readonly<Record<string, unknown>>,
): boolean {
  if (type === filter.FilterType.FT_COMPOSITE_COLUMN_VALUE) {
    const { combinator, subFilters } = filter.CompositeColumnValueFilter.decode(bytes);
    const results = subFilters.map((one: never) => matches(one, columns));
    return combinator === filter.LogicalOperator.LO_AND ? results.every(Boolean) : results.some(Boolean);
  }
  if (type !== filter.FilterType.FT_SINGLE_COLUMN_VALUE) throw new Error(`unknown filter ${type}`);
  const { comparator, columnName, columnValue, filterIfMissing } = filter.SingleColumnValueFilter.decode(bytes);
  const found = columns[columnName];
  if (found === undefined) return !filterIfMissing;
  const wanted = readVariant(columnValue);
  if (comparator === filter.ComparatorType.CT_EQUAL) return String(found) === String(wanted);
  if (comparator === filter.ComparatorType.CT_GREATER_THAN) return Number(found) > Number(wanted);
  throw new Error(`unknown comparator ${comparator}`);
}

/** A value as conditions carry it. https://github.com/aliyun/aliyun-tablestore-nodejs-sdk: lib/protocol/plain_buffer_consts.js */
function readVariant(bytes: Uint8Array): string | number {
  const view = Buffer.from(bytes);
  if (view[0] === 0) return Number(view.readBigInt64LE(1));
  if (view[0] === 3) return view.subarray(5, 5 + view.readUInt32LE(1)).toString("utf8");
  throw new Error(`unknown variant ${view[0]}`);
}

// biome-ignore lint/suspicious/noExplicitAny: the package has no types, and its generated code has hundreds
const tablestore = tablestorePackage as any;
// biome-ignore lint/suspicious/noExplicitAny: see above
const generated = protos as any;
const main = generated.main.proto;
const filter = generated.filter.proto;
const consumed = { capacityUnit: { read: 1, write: 1 } };

interface DecodedRow {
  readonly primaryKey: readonly Cell[];
  readonly attributes?: readonly { readonly columnName: string; readonly columnValue: unknown }[];
}

function readCells(bytes: Uint8Array): DecodedRow {
  const source = { buffer: Buffer.from(bytes), limit: bytes.length, offset: 0 };
  return new tablestore.PlainBufferCodedInputStream(new tablestore.PlainBufferInputStream(source)).readRow();
}

/** A key that may end a range: the client reads no such keys itself. Header, then cells of name, value and checksum. */
function readBound(bytes: Uint8Array): readonly Cell[] {
  const buffer = Buffer.from(bytes);
  const cells: Cell[] = [];
  for (let at = 5; buffer[at] === TAG_CELL; ) {
    const nameLength = buffer.readUInt32LE(at + 2);
    const name = buffer.subarray(at + 6, at + 6 + nameLength).toString("utf8");
    const value = at + 6 + nameLength + 1;
    const valueLength = buffer.readUInt32LE(value);
    const isMaximum = buffer[value + 4] === INF_MAX_TYPE;
    const text = buffer.subarray(value + 9, value + 4 + valueLength).toString("utf8");
    cells.push({ name, value: isMaximum ? tablestore.INF_MAX : text });
    at = value + 4 + valueLength + 2;
  }
  return cells;
}
const TAG_CELL = 3;
const INF_MAX_TYPE = 10;

const idOf = (key: readonly Cell[]): string => JSON.stringify(key.map(({ value }) => value));

function compareKeys(one: readonly Cell[], other: readonly Cell[]): number {
  for (const [index, { value }] of one.entries()) {
    const wanted = other[index]?.value;
    if (wanted === tablestore.INF_MAX || value === tablestore.INF_MAX)
      return wanted === value ? 0 : wanted === tablestore.INF_MAX ? -1 : 1;
    const order = Buffer.compare(Buffer.from(String(value)), Buffer.from(String(wanted)));
    if (order !== 0) return order;
  }
  return 0;
}

const pairs = (key: readonly Cell[]) => key.map(({ name, value }) => ({ [name]: value }));
const keyBytes = (key: readonly Cell[]): Buffer => tablestore.PlainBufferBuilder.serializePrimaryKey(pairs(key));
const rowBytes = ({ primaryKey, attributes }: StoredRow): Buffer =>
  tablestore.PlainBufferBuilder.serializeForPutRow(
    pairs(primaryKey),
    Object.entries(attributes).map(([name, value]) => ({ [name]: value, timestamp: 1 })),
  );

/** Rows after the first go without the header. */
const rowsBytes = (rows: readonly StoredRow[]): Buffer =>
  Buffer.concat(rows.map((row, index) => (index === 0 ? rowBytes(row) : rowBytes(row).subarray(4))));

function isSigned({ method, path, headers, body }: FakeRequest): boolean {
  const md5 = createHash("md5").update(body).digest("base64");
  const names = Object.keys(headers)
    .filter((name) => name.startsWith("x-ots-") && name !== "x-ots-signature")
    .sort();
  const text = `${path}\n${method}\n\n${names.map((name) => `${name}:${headers[name]}`).join("\n")}\n`;
  const signature = createHmac("sha1", KEYS.accessKeySecret).update(text).digest("base64");
  return (
    headers["x-ots-contentmd5"] === md5 &&
    isToken(headers["x-ots-ststoken"]) &&
    headers["x-ots-signature"] === signature
  );
}

/** The table that a request asks for. */
export const tableOf = ({ path, body }: Pick<FakeRequest, "path" | "body">): string =>
  main[`${path.slice(1)}Request`].decode(body).tableName;

const ok = (body: Uint8Array): FakeAnswer => ({ status: 200, body });

const error = (status: number, code: string): FakeAnswer => ({
  status,
  body: main.Error.encode(main.Error.create({ code, message: code })).finish(),
});
