import { Readable } from "node:stream";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { CreateSecretCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { describe, expect, it } from "vitest";
import type { AwsWorld } from "../../lib/clouds/aws/runtime/account.ts";
import { port as dynamodbPort } from "../../lib/clouds/aws/runtime/dynamodb.ts";
import { port as s3Port } from "../../lib/clouds/aws/runtime/s3.ts";
import { port as secretsPort } from "../../lib/clouds/aws/runtime/secrets.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { TableTaskStore } from "../../lib/runtime/tasks/table-store.ts";
import { testBucket, testTable } from "../ports/conformance.ts";
import { NOW, testTaskStore } from "../ports/task-store-conformance.ts";
import { awsAccount } from "./servers/aws-account.ts";
import { lossy } from "./servers/lossy.ts";

const { moto, fresh, account, around } = awsAccount();

async function bucketSubject() {
  const subject = await around();
  const bucket = fresh("bucket");
  const client = new S3Client({ ...account(), forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const address = { kind: "bucket", part: "media", bucket, region: moto().region, endpoint: moto().url } as const;
  const port = (world = subject.world) => s3Port(address, world);
  const uploads = async () => (await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads ?? [];
  return { ...subject, bucket: port(), port, uploads };
}

testBucket(async () => ({
  ...(await bucketSubject()),
  refuses: (key) => /^\.\.(\/|$)/.test(key),
  lacks: (key) => key.includes("\n"), // moto finds no route for it
}));

async function tableSubject(clock = systemClock) {
  const subject = await around();
  const TableName = fresh("table");
  await new DynamoDBClient(account()).send(
    new CreateTableCommand({
      TableName,
      BillingMode: "PAY_PER_REQUEST",
      KeySchema: [
        { AttributeName: "pk", KeyType: "HASH" },
        { AttributeName: "sk", KeyType: "RANGE" },
      ],
      AttributeDefinitions: [
        { AttributeName: "pk", AttributeType: "S" },
        { AttributeName: "sk", AttributeType: "S" },
      ],
    }),
  );
  const address = {
    kind: "table",
    part: "state",
    table: TableName,
    region: moto().region,
    endpoint: moto().url,
  } as const;
  const port = (world: Partial<AwsWorld> = {}, endpoint = moto().url) =>
    dynamodbPort({ ...address, endpoint }, { ...subject.world, clock, ...world });
  return { ...subject, table: port(), port, now: () => clock.now() };
}

testTable(tableSubject);

describe("runs in a table of DynamoDB", () => {
  testTaskStore(async () => {
    let now = NOW;
    const clock = { now: () => now, at: systemClock.at };
    const { table } = await tableSubject(clock);
    return {
      store: new TableTaskStore({ table, tasks: ["work", "other"], clock, random: Math.random }),
      async advanceTo(time) {
        now = time;
      },
    };
  });
});

describe("a secret of Secrets Manager", () => {
  it.each([{ SecretString: "geheim 猫" }, { SecretBinary: Buffer.from("geheim 猫") }])(
    "is read: %j",
    async (content) => {
      const { world, close } = await around();
      const client = new SecretsManagerClient(account());
      const { ARN } = await client.send(new CreateSecretCommand({ Name: fresh("secret"), ...content }));
      const address = {
        kind: "secret",
        part: "key",
        secret: ARN!,
        region: moto().region,
        endpoint: moto().url,
      } as const;
      expect(await secretsPort(address, world).value()).toBe("geheim 猫");
      const missing = secretsPort({ ...address, secret: "no-such-secret" }, world);
      await expect(missing.value()).rejects.toMatchObject({ kind: "not-found", message: /^secret key: / });
      await close();
    },
  );
});

describe("a table of DynamoDB", () => {
  it("refuses a row that is too large, and says what is not", async () => {
    const { table, close } = await tableSubject();
    const value = "x".repeat(400 * 1024);
    await expect(table.put("p", "s", value)).rejects.toMatchObject({ kind: "bad-input", message: /400 KB/ });
    expect(await table.get("p", "s")).toBeUndefined();
    await close();
  });

  it("answers a page of more than the service answers at once", async () => {
    const { table, close } = await tableSubject();
    const value = "x".repeat(300_000);
    for (const sort of ["a", "b", "c", "d", "e"]) await table.put("p", sort, value);
    const { rows, next } = await table.query("p", { limit: 4 });
    expect(rows.map(({ sort }) => sort)).toEqual(["a", "b", "c", "d"]);
    expect(next).toBe("d");
    await close();
  });

  it("a put whose answer is lost has been put once, not refused", async () => {
    const { port, close } = await tableSubject();
    const line = await lossy(moto().url);
    const table = port({}, line.url);
    line.loseNext();
    const first = await table.put("p", "s", 1, { ifVersion: "absent" });
    expect(await table.get("p", "s")).toMatchObject({ value: 1, version: first });
    line.loseNext();
    const second = await table.put("p", "s", 2, { ifVersion: first });
    expect(await table.get("p", "s")).toMatchObject({ value: 2, version: second });
    expect(line.lost()).toBe(2);
    await expect(table.put("p", "s", 3, { ifVersion: first })).rejects.toMatchObject({ kind: "conflict" });
    await line.close();
    await close();
  });

  it("asks no more once its invocation is over", async () => {
    const { port, close } = await tableSubject();
    const table = port({ signal: AbortSignal.abort(new Error("time is up")) });
    await expect(table.get("p", "s")).rejects.toThrow("time is up");
    await close();
  });
});

describe("a bucket of S3", () => {
  it("takes what is long in parts, and shows it whole or not at all", async () => {
    const { bucket, uploads, close } = await bucketSubject();
    const bytes = Buffer.alloc(20 * 2 ** 20, "0123456789abcde");
    const metadata = { title: "猫 100% a+b", Owner: "me" };
    const info = await bucket.put("stream", Readable.from(chunked(bytes)), { contentType: "video/mp4", metadata });
    expect(info).toMatchObject({ size: bytes.length, contentType: "video/mp4" });
    expect(info.etag).toMatch(/-3$/);
    expect(await bucket.head("stream")).toMatchObject({
      size: bytes.length,
      etag: info.etag,
      contentType: "video/mp4",
      metadata: { title: "猫 100% a+b", owner: "me" },
    });
    expect(Buffer.compare(await bucket.get("stream"), bytes)).toBe(0);
    await expect(bucket.put("broken", Readable.from(breaking(bytes)))).rejects.toThrow("the line went dead");
    expect(await bucket.head("broken")).toBeUndefined();
    expect(await uploads()).toEqual([]);
    await close();
  });

  it("puts what is long on condition", async () => {
    const { bucket, uploads, close } = await bucketSubject();
    const bytes = Buffer.alloc(17 * 2 ** 20);
    const { etag } = await bucket.put("a", bytes, { ifNoneMatch: "*" });
    await expect(bucket.put("a", bytes, { ifNoneMatch: "*" })).rejects.toMatchObject({ kind: "conflict" });
    expect((await bucket.head("a"))?.etag).toBe(etag);
    expect(await uploads()).toEqual([]);
    await close();
  });

  it("leaves nothing behind when its invocation ends in the middle", async () => {
    const { port, world, uploads, close } = await bucketSubject();
    const controller = new AbortController();
    const bucket = port({ ...world, signal: controller.signal });
    const endless = Readable.from(
      (async function* () {
        for (let chunk = 0; chunk < 30; chunk += 1) yield Buffer.alloc(2 ** 20);
        controller.abort(new Error("time is up"));
        await new Promise(() => {});
      })(),
    );
    await expect(bucket.put("a", endless)).rejects.toThrow();
    await expect(bucket.get("a")).rejects.toThrow("time is up");
    expect(await port().head("a")).toBeUndefined();
    expect(await uploads()).toEqual([]);
    await close();
  });

  it("says what is missing, what is not allowed, and who does not answer", async () => {
    const { world, close } = await bucketSubject();
    const address = { kind: "bucket", part: "media", bucket: "no-such-bucket", region: moto().region } as const;
    const stranger = s3Port({ ...address, endpoint: moto().url }, world);
    await expect(stranger.get("a")).rejects.toMatchObject({ kind: "not-found", message: /NoSuchBucket/ });
    await expect(stranger.put("a", "")).rejects.toMatchObject({ kind: "not-found", message: /NoSuchBucket/ });
    const nobody = s3Port({ ...address, endpoint: "http://127.0.0.1:9" }, world);
    await expect(nobody.get("a")).rejects.toMatchObject({ kind: "unavailable", message: /ECONNREFUSED/ });
    await close();
  });
});

function* chunked(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += 1_000_003) yield bytes.subarray(from, from + 1_000_003);
}

async function* breaking(bytes: Buffer): AsyncGenerator<Buffer> {
  yield* chunked(bytes);
  throw new Error("the line went dead");
}
