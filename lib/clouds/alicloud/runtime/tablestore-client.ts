/*
 * What is used of the package `tablestore`, which has no types of its own.
 * https://www.npmjs.com/package/tablestore
 */

export interface TablestoreModule {
  readonly Client: new (config: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly stsToken?: string;
    readonly endpoint: string;
    readonly instancename: string;
    readonly maxRetries: number;
  }) => Client;
  readonly Condition: new (existence: number, column: ColumnCondition | null) => Condition;
  readonly SingleColumnCondition: new (
    name: string,
    value: string | Int64,
    comparator: number,
    passIfMissing: boolean,
  ) => ColumnCondition;
  readonly CompositeCondition: new (
    combinator: number,
  ) => ColumnCondition & {
    addSubCondition(condition: ColumnCondition): void;
  };
  readonly RowExistenceExpectation: Readonly<Record<"IGNORE" | "EXPECT_EXIST" | "EXPECT_NOT_EXIST", number>>;
  readonly ComparatorType: Readonly<Record<"EQUAL" | "GREATER_THAN", number>>;
  readonly LogicalOperator: Readonly<Record<"AND" | "OR", number>>;
  readonly Direction: Readonly<Record<"FORWARD", string>>;
  readonly INF_MAX: object;
  readonly Long: { fromNumber(value: number): Int64 };
}

declare const int64: unique symbol;
export interface Int64 {
  readonly [int64]?: true;
}
declare const columnCondition: unique symbol;
export interface ColumnCondition {
  readonly [columnCondition]?: true;
}
declare const condition: unique symbol;
export interface Condition {
  readonly [condition]?: true;
}

export type PrimaryKey = readonly Readonly<Record<string, string | object>>[];

interface ClientRow {
  readonly primaryKey?: readonly { readonly name: string; readonly value: unknown }[];
  readonly attributes?: readonly { readonly columnName: string; readonly columnValue: unknown }[];
}

interface RowRequest {
  readonly tableName: string;
  readonly primaryKey: PrimaryKey;
}

export interface Client {
  getRow(request: RowRequest & { readonly maxVersions: number }): Promise<{ readonly row?: ClientRow }>;
  putRow(
    request: RowRequest & {
      readonly condition: Condition;
      readonly attributeColumns: readonly Readonly<Record<string, string | Int64>>[];
    },
  ): Promise<unknown>;
  deleteRow(request: RowRequest & { readonly condition: Condition }): Promise<unknown>;
  getRange(request: {
    readonly tableName: string;
    readonly direction: string;
    readonly maxVersions: number;
    readonly inclusiveStartPrimaryKey: PrimaryKey;
    readonly exclusiveEndPrimaryKey: PrimaryKey;
    readonly limit: number;
  }): Promise<{
    readonly rows: readonly ClientRow[];
    readonly nextStartPrimaryKey: readonly { readonly name: string; readonly value: unknown }[] | null;
  }>;
}

/** A row as it lies in the table. */
export interface StoredRow {
  readonly partition: string;
  readonly sort: string;
  /** JSON. */
  readonly value: string;
  readonly version: string;
  /** Milliseconds since 1970; 0: never. */
  readonly expires: number;
}
