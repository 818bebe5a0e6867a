import { randomUUID } from "node:crypto";
import {
  type AttributeValue,
  type ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
} from "@aws-sdk/client-dynamodb";
import { checkKey, pageLimit } from "../../../runtime/conditions.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { Row, TableReader, TableWriter } from "../../../runtime/ports.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask, type RequestOptions } from "./ask.ts";

/**
 * A table of DynamoDB: `pk` and `sk` as its primary key, the value as JSON beside its version and expiry; `ttl`, the
 * expiry in seconds, is for the service, which removes rows days later.
 */
export const port = (address: LinkAddress, world: AwsWorld): TableReader & TableWriter =>
  new DynamodbTable(address, world);

class DynamodbTable implements TableReader, TableWriter {
  readonly #name: string;
  readonly #table: string;
  readonly #client: DynamoDBClient;
  readonly #world: AwsWorld;

  constructor(address: LinkAddress, world: AwsWorld) {
    this.#name = address.part;
    this.#table = field(address, "table");
    this.#client = new DynamoDBClient(clientSettings(world, field(address, "region"), address.endpoint));
    this.#world = world;
  }

  async get<Value>(partition: string, sort: string): Promise<Row<Value> | undefined> {
    checkKeys(partition, sort);
    const command = new GetItemCommand({
      TableName: this.#table,
      Key: keyOf(partition, sort),
      ConsistentRead: true,
    });
    const { Item } = await this.#ask("get from", (options) => this.#client.send(command, options));
    const row = Item && (toRow(Item) as Row<Value>);
    return row && (row.expires === undefined || row.expires > this.#world.clock.now()) ? row : undefined;
  }

  /** The service answers 1 MB at a time and skips what has expired, so that a page may take several requests. */
  async query<Value>(
    partition: string,
    {
      prefix = "",
      after = "",
      limit,
    }: { readonly prefix?: string; readonly after?: string; readonly limit?: number } = {},
  ): Promise<{ readonly rows: readonly Row<Value>[]; readonly next?: string }> {
    checkKey(partition, "a partition");
    const most = pageLimit(limit);
    const rows: Row<Value>[] = [];
    let from = startOf(partition, prefix, after);
    // One more than asked for tells whether there are more.
    while (from !== "nowhere" && rows.length <= most) {
      const page = await this.#page(partition, prefix, from, most + 1 - rows.length);
      rows.push(...page.rows.map((row) => row as Row<Value>));
      from = page.next ?? "nowhere";
    }
    const page = rows.slice(0, most);
    return { rows: page, ...(rows.length > most && { next: page.at(-1)!.sort }) };
  }

  /** A put whose answer was lost is tried again by the SDK: then the row that is in its way is its own. */
  async put(
    partition: string,
    sort: string,
    value: unknown,
    { ifVersion, expires }: { readonly ifVersion?: string; readonly expires?: number } = {},
  ): Promise<string> {
    checkKeys(partition, sort);
    const version = randomUUID();
    const command = new PutItemCommand({
      TableName: this.#table,
      Item: {
        ...keyOf(partition, sort),
        value: { S: JSON.stringify(value ?? null) },
        version: { S: version },
        ...(expires !== undefined && { expires: { N: `${expires}` }, ttl: { N: `${Math.ceil(expires / 1000)}` } }),
      },
      ...this.#condition(ifVersion),
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    });
    await this.#ask("put into", (options) => this.#client.send(command, options)).catch((error: unknown) => {
      if (inTheWay(error)?.version?.S !== version) throw tooLarge(error) ?? error;
    });
    return version;
  }

  async remove(partition: string, sort: string, { ifVersion }: { readonly ifVersion?: string } = {}): Promise<void> {
    checkKeys(partition, sort);
    const command = new DeleteItemCommand({
      TableName: this.#table,
      Key: keyOf(partition, sort),
      ...this.#condition(ifVersion),
    });
    await this.#ask("remove from", (options) => this.#client.send(command, options));
  }

  async #page(partition: string, prefix: string, from: Item | undefined, limit: number): Promise<Page> {
    const command = new QueryCommand({
      TableName: this.#table,
      ConsistentRead: true,
      Limit: limit,
      KeyConditionExpression: `#pk = :pk${prefix && " AND begins_with(#sk, :prefix)"}`,
      FilterExpression: ALIVE,
      ExpressionAttributeNames: { "#pk": "pk", ...(prefix && { "#sk": "sk" }), "#expires": "expires" },
      ExpressionAttributeValues: {
        ":pk": { S: partition },
        ...(prefix && { ":prefix": { S: prefix } }),
        ...this.#now(),
      },
      ...(from && { ExclusiveStartKey: from }),
    });
    const page = await this.#ask("query", (options) => this.#client.send(command, options));
    return { rows: (page.Items ?? []).map(toRow), next: page.LastEvaluatedKey };
  }

  /** A row that has expired is as good as absent. */
  #condition(ifVersion: string | undefined) {
    if (ifVersion === undefined) return {};
    const values = { ExpressionAttributeValues: this.#now() };
    if (ifVersion === "absent") {
      return {
        ConditionExpression: "attribute_not_exists(#pk) OR #expires <= :now",
        ExpressionAttributeNames: { "#pk": "pk", "#expires": "expires" },
        ...values,
      };
    }
    return {
      ConditionExpression: `#version = :version AND (${ALIVE})`,
      ExpressionAttributeNames: { "#version": "version", "#expires": "expires" },
      ExpressionAttributeValues: { ...values.ExpressionAttributeValues, ":version": { S: ifVersion } },
    };
  }

  #now = () => ({ ":now": { N: `${this.#world.clock.now()}` } });

  #ask<Answer>(verb: string, request: (options: RequestOptions) => Promise<Answer>): Promise<Answer> {
    return ask(`${verb} table ${this.#name}`, this.#world, request, { ConditionalCheckFailedException: "conflict" });
  }
}

const ALIVE = "attribute_not_exists(#expires) OR #expires > :now";

type Item = Record<string, AttributeValue>;

interface Page {
  readonly rows: readonly Row[];
  readonly next: Item | undefined;
}

const keyOf = (partition: string, sort: string) => ({ pk: { S: partition }, sk: { S: sort } });

const checkKeys = (partition: string, sort: string): void => {
  checkKey(partition, "a partition");
  checkKey(sort, "a sort key");
};

/**
 * Behind which key a query begins, which need not be there; `nowhere` where nothing can match. The service refuses a
 * key that does not match what is queried.
 *
 * @see https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html
 */
function startOf(partition: string, prefix: string, after: string): Item | undefined | "nowhere" {
  if (after === "" || Buffer.compare(Buffer.from(after), Buffer.from(prefix)) < 0) return undefined;
  return after.startsWith(prefix) ? keyOf(partition, after) : "nowhere";
}

const toRow = ({ pk, sk, value, version, expires }: Item): Row => ({
  partition: pk?.S ?? "",
  sort: sk?.S ?? "",
  value: JSON.parse(value?.S ?? "null") as unknown,
  version: version?.S ?? "",
  ...(expires?.N !== undefined && { expires: Number(expires.N) }),
});

const inTheWay = (error: unknown): Item | undefined =>
  (error as { readonly cause?: ConditionalCheckFailedException }).cause?.Item;

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html */
function tooLarge(error: unknown): MillraceError | undefined {
  if (!(error instanceof MillraceError) || !/item size/i.test(error.message)) return undefined;
  return new MillraceError("bad-input", `${error.message}. A row of DynamoDB has at most 400 KB, its keys included`, {
    cause: error,
  });
}
