import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { CreateSecretCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { CreateQueueCommand, GetQueueAttributesCommand, SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AwsWorld } from "../../lib/clouds/aws/runtime/account.ts";
import { port as dynamodbPort } from "../../lib/clouds/aws/runtime/dynamodb.ts";
import { port as s3Port } from "../../lib/clouds/aws/runtime/s3.ts";
import { port as secretsPort } from "../../lib/clouds/aws/runtime/secrets.ts";
import { port as sqsPort } from "../../lib/clouds/aws/runtime/sqs.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import type { Log } from "../../lib/runtime/handler.ts";
import { TableTaskStore } from "../../lib/runtime/tasks/table-store.ts";
import { receiveUntil, testBucket, testQueue, testTable } from "../ports/conformance.ts";
import { NOW, testTaskStore } from "../ports/task-store-conformance.ts";
import { type MotoServer, startMoto } from "./servers/moto.ts";

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
let moto: MotoServer;
let made = 0;

beforeAll(async () => {
  moto = await startMoto();
});
afterAll(() => moto?.stop());

/** A name that no test before had. */
const fresh = (kind: string): string => {
  made += 1;
  return `${kind}-${made}`;
};

const account = () => ({ region: moto.region, endpoint: moto.url, credentials: moto.credentials });

async function around() {
  const files = await mkdtemp(join(tmpdir(), "millrace-aws-"));
  const credentials = async () => moto.credentials;
  const world: AwsWorld = { signal: new AbortController().signal, clock: systemClock, log: silent, files, credentials };
  return {
    world,
    advance: (seconds: number) => sleep(seconds * 1000),
    close: () => rm(files, { recursive: true, force: true }),
  };
}

async function bucketSubject() {
  const subject = await around();
  const bucket = fresh("bucket");
  const client = new S3Client({ ...account(), forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const address = { kind: "bucket", part: "media", bucket, region: moto.region, endpoint: moto.url } as const;
  const port = (world = subject.world) => s3Port(address, world);
  const uploads = async () => (await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads ?? [];
  return { ...subject, bucket: port(), port, uploads };
}

testBucket(async () => ({
  ...(await bucketSubject()),
  refuses: (key) => /^\.\.(\/|$)/.test(key),
  lacks: (key) => key.includes("\n"), // moto finds no route for it
}));

/** Seconds a received message stays hidden. */
const VISIBILITY = 2;

async function queueSubject() {
  const subject = await around();
  const client = new SQSClient(account());
  const make = async (Attributes: Record<string, string>) => {
    const command = new CreateQueueCommand({ QueueName: fresh("queue"), Attributes });
    const { QueueUrl } = await client.send(command);
    return QueueUrl!;
  };
  const dead = await make({});
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl: dead, AttributeNames: ["QueueArn"] }),
  );
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount: 3 });
  const url = await make({ VisibilityTimeout: `${VISIBILITY}`, RedrivePolicy });
  const port = (queue: string) =>
    sqsPort({ kind: "queue", part: "work", queue, region: moto.region, endpoint: moto.url }, subject.world);
  return {
    ...subject,
    queue: port(url),
    deadLetters: port(dead),
    visibility: VISIBILITY,
    attempts: 3,
    deduplicates: false,
    takesOldReceipts: true, // "might not be deleted": https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
  };
}

testQueue(queueSubject);

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
  const address = { kind: "table", part: "state", table: TableName, region: moto.region, endpoint: moto.url } as const;
  const port = (world: Partial<AwsWorld> = {}) => dynamodbPort(address, { ...subject.world, clock, ...world });
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

describe("a queue of SQS", () => {
  it.each([
    ["plain", { colour: "blau", "a.b": "1" }],
    ["", {}],
    ["\u0000 \u0007 \uFFFE 🎬 \uD800", {}],
    ['{"millrace":["a",{}]}', {}],
    ["many", Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`n${n}`, "x"]))],
    ["names", { "a b": "1", "..": "2", "AWS.x": "3" }],
    ["values", { empty: "", control: "\u0001" }],
  ])("takes %j with %j", async (body, attributes) => {
    const { queue, close } = await queueSubject();
    await queue.send(body, { attributes });
    expect(await receiveUntil(queue, 1)).toMatchObject([{ body, attributes }]);
    await close();
  });

  it("refuses what is too much for it, and says what that is", async () => {
    const { queue, close } = await queueSubject();
    await expect(queue.send("a", { delay: 901 })).rejects.toMatchObject({ kind: "bad-input", message: /0 to 900/ });
    const long = "x".repeat(2 ** 20 + 1);
    await expect(queue.send(long)).rejects.toMatchObject({ kind: "bad-input", message: /shorter than 1048576/ });
    await expect(queue.extend("nonsense", 1)).rejects.toMatchObject({ kind: "conflict" });
    await close();
  });
});

describe("a secret of Secrets Manager", () => {
  it.each([{ SecretString: "geheim 猫" }, { SecretBinary: Buffer.from("geheim 猫") }])(
    "is read: %j",
    async (content) => {
      const { world, close } = await around();
      const client = new SecretsManagerClient(account());
      const { ARN } = await client.send(new CreateSecretCommand({ Name: fresh("secret"), ...content }));
      const address = { kind: "secret", part: "key", secret: ARN!, region: moto.region, endpoint: moto.url } as const;
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
    const address = { kind: "bucket", part: "media", bucket: "no-such-bucket", region: moto.region } as const;
    const stranger = s3Port({ ...address, endpoint: moto.url }, world);
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
