import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import {
  CreateStateMachineCommand,
  DescribeExecutionCommand,
  SFNClient,
  StartExecutionCommand,
} from "@aws-sdk/client-sfn";
import { CoreV1Api, type KubernetesObject, KubernetesObjectApi, RbacAuthorizationV1Api } from "@kubernetes/client-node";
import { jetstream, jetstreamManager, RetentionPolicy } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  applyKedaCrds,
  type KubernetesServer,
  type MotoServer,
  type NatsServer,
  type S3Server,
  startKubernetes,
  startMoto,
  startNats,
  startS3,
} from "./servers/index.ts";
import { startServer } from "./servers/server.ts";

describe("NATS", () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNats();
  });
  afterAll(() => server.stop());

  test("a message is stored once by its id, and consumed", async () => {
    const connection = await connect({ servers: server.url });
    try {
      const manager = await jetstreamManager(connection);
      await manager.streams.add({ name: "work", subjects: ["work.>"], retention: RetentionPolicy.Workqueue });
      await manager.consumers.add("work", { durable_name: "worker", ack_policy: "explicit" });
      const client = jetstream(connection);
      expect(await client.publish("work.a", "one", { msgID: "1" })).toMatchObject({ duplicate: false });
      expect(await client.publish("work.a", "one", { msgID: "1" })).toMatchObject({ duplicate: true });
      const consumer = await client.consumers.get("work", "worker");
      const message = await consumer.next({ expires: 5000 });
      expect(message?.string()).toBe("one");
      expect(await message?.ackAck()).toBe(true);
      expect((await manager.streams.info("work")).state.messages).toBe(0);
    } finally {
      await connection.close();
    }
  });
});

describe("S3", () => {
  let nats: NatsServer;
  let server: S3Server;
  let client: S3Client;
  beforeAll(async () => {
    nats = await startNats();
    server = await startS3({ events: { natsUrl: nats.url, subject: "objects" } });
    const { url: endpoint, region, credentials } = server;
    client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket: "media" }));
  });
  afterAll(async () => {
    client.destroy();
    await server.stop();
    await nats.stop();
  });

  test("an object is put, read, and not overwritten against a condition", async () => {
    const put = new PutObjectCommand({ Bucket: "media", Key: "a b+c%#ü.txt", Body: "one", IfNoneMatch: "*" });
    await client.send(put);
    await expect(client.send(put)).rejects.toMatchObject({ $metadata: { httpStatusCode: 412 } });
    const { Body } = await client.send(new GetObjectCommand({ Bucket: "media", Key: "a b+c%#ü.txt" }));
    expect(await Body?.transformToString()).toBe("one");
  });

  test("parts are copied and completed, which takes extended attributes", async () => {
    const [Bucket, Key] = ["media", "copy"];
    await client.send(new PutObjectCommand({ Bucket, Key: "source", Body: "part" }));
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const part = { Bucket, Key, UploadId, PartNumber: 1, CopySource: "media/source" };
    const { CopyPartResult } = await client.send(new UploadPartCopyCommand(part));
    const Parts = [{ PartNumber: 1, ETag: CopyPartResult?.ETag }];
    await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
    expect(await Body?.transformToString()).toBe("part");
  });

  test("what happens to objects is published to NATS", async () => {
    const connection = await connect({ servers: nats.url });
    try {
      const subscription = connection.subscribe("objects", { max: 1 });
      await connection.flush();
      await client.send(new PutObjectCommand({ Bucket: "media", Key: "told ü.txt", Body: "four" }));
      for await (const message of subscription) {
        const { Records } = message.json<{ Records: object[] }>();
        expect(Records).toMatchObject([
          {
            eventName: "s3:ObjectCreated:Put",
            s3: { bucket: { name: "media" }, object: { key: "told ü.txt", size: 4 } },
          },
        ]);
      }
    } finally {
      await connection.close();
    }
  });
});

describe("moto", () => {
  let server: MotoServer;
  let client: SFNClient;
  beforeAll(async () => {
    server = await startMoto();
    client = new SFNClient({ endpoint: server.url, region: server.region, credentials: server.credentials });
  });
  afterAll(async () => {
    client.destroy();
    await server.stop();
  });

  test("a state machine really runs", async () => {
    const { stateMachineArn } = await client.send(
      new CreateStateMachineCommand({
        name: "adder",
        roleArn: "arn:aws:iam::123456789012:role/any",
        definition: JSON.stringify({
          StartAt: "Add",
          States: { Add: { Type: "Pass", Parameters: { "sum.$": "States.MathAdd($.a, $.b)" }, End: true } },
        }),
      }),
    );
    const start = new StartExecutionCommand({ stateMachineArn, name: "one", input: '{"a":1,"b":2}' });
    const { executionArn } = await client.send(start);
    const run = await vi.waitFor(
      async () => {
        const answer = await client.send(new DescribeExecutionCommand({ executionArn }));
        expect(answer.status).not.toBe("RUNNING");
        return answer;
      },
      { timeout: 20_000, interval: 100 },
    );
    expect(run.status).toBe("SUCCEEDED");
    expect(JSON.parse(run.output ?? "")).toEqual({ sum: 3 });
  });
});

describe("Kubernetes", () => {
  let server: KubernetesServer;
  beforeAll(async () => {
    server = await startKubernetes();
  });
  afterAll(() => server.stop());

  test("who may do everything makes a namespace, and who may not is denied, until a role allows it", async () => {
    const [admin, nobody] = [server.config(), server.config(server.nobodyToken)].map((config) =>
      config.makeApiClient(CoreV1Api),
    ) as [CoreV1Api, CoreV1Api];
    await admin.createNamespace({ body: { metadata: { name: "media" } } });
    const list = () => nobody.listNamespacedSecret({ namespace: "media" });
    await expect(list()).rejects.toMatchObject({ code: 403 });
    const rbac = server.config().makeApiClient(RbacAuthorizationV1Api);
    await rbac.createNamespacedRole({
      namespace: "media",
      body: { metadata: { name: "reads" }, rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["list"] }] },
    });
    await rbac.createNamespacedRoleBinding({
      namespace: "media",
      body: {
        metadata: { name: "reads" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reads" },
        subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "nobody" }],
      },
    });
    await vi.waitFor(async () => expect((await list()).items).toEqual([]), 10_000);
    await expect(nobody.listNamespace()).rejects.toMatchObject({ code: 403 });
  });

  test("a scaled object is accepted, and one without triggers refused", async () => {
    await applyKedaCrds(server);
    const client = KubernetesObjectApi.makeApiClient(server.config());
    const scaled = (name: string, spec: object) =>
      client.create({
        apiVersion: "keda.sh/v1alpha1",
        kind: "ScaledObject",
        metadata: { name, namespace: "default" },
        spec,
      } as KubernetesObject);
    const triggers = [{ type: "nats-jetstream", metadata: { stream: "work", consumer: "worker" } }];
    await vi.waitFor(() => scaled("one", { scaleTargetRef: { name: "one" }, triggers }), 10_000);
    await expect(scaled("two", { scaleTargetRef: { name: "two" } })).rejects.toMatchObject({ code: 422 });
  });
});

test("a server and its folder go when the process that started it is killed", async () => {
  const program = `
    const { startNats } = await import(${JSON.stringify(new URL("./servers/nats.ts", import.meta.url).href)});
    const { url, folder } = await startNats();
    console.log(JSON.stringify({ url, folder }));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const { url, folder } = JSON.parse(line.toString()) as { url: string; folder: string };
  expect(existsSync(folder)).toBe(true);
  child.kill("SIGKILL");
  await vi.waitFor(() => expect(existsSync(folder)).toBe(false), 20_000);
  await expect(connect({ servers: url, timeout: 2000, reconnect: false })).rejects.toThrow();
});

test("a server that does not start says why, and leaves no folder", async () => {
  const found: string[] = [];
  const start = startServer({
    name: "none",
    command: process.execPath,
    args: (folder) => {
      found.push(folder);
      return ["-e", 'console.error("no disk"); process.exit(3)'];
    },
    ready: async () => false,
  });
  await expect(start).rejects.toThrow(/^none ended before it was ready:\nno disk\n/);
  expect(found.map(existsSync)).toEqual([false]);
});
