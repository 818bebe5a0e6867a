import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FakeOss } from "../clouds/alicloud/fakes/oss.ts";
import { KEYS } from "../clouds/alicloud/fakes/server.ts";
import { FakeSmq } from "../clouds/alicloud/fakes/smq.ts";
import { millrace } from "./run.ts";

/** A store that speaks as much S3 as is asked here, and looks at no signature. */
const stored = new Map<string, string>();
const store = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? "", "http://store");
  const key = decodeURIComponent(pathname.slice("/archive-x/".length));
  const body = await text(request);
  if (request.method === "PUT") stored.set(key, body);
  const keys = [...stored.keys()].map(
    (name) =>
      `<Contents><Key>${name}</Key><Size>4</Size><ETag>"e"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`,
  );
  const isList = searchParams.get("list-type") === "2";
  response.setHeader("etag", '"e"').setHeader("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT");
  if (!isList && !stored.has(key)) response.statusCode = 404;
  response.end(isList ? `<ListBucketResult>${keys.join("")}</ListBucketResult>` : stored.get(key));
});

/** A deployed stack by its outputs, whose services are fakes of this machine. */
const oss = new FakeOss("videos-uploads-x");
const smq = new FakeSmq({ "requests-x": { visibility: 30 }, "dead-x": { visibility: 30 } });
const folder = mkdtempSync(join(tmpdir(), "millrace-stack-"));
const env = {
  ALIBABA_CLOUD_ACCESS_KEY_ID: KEYS.accessKeyId,
  ALIBABA_CLOUD_ACCESS_KEY_SECRET: KEYS.accessKeySecret,
  ALIBABA_CLOUD_SECURITY_TOKEN: KEYS.securityToken,
};

beforeAll(async () => {
  const [bucketEndpoint, queueEndpoint] = await Promise.all([oss.server.start(), smq.server.start()]);
  const part = { construct: "videos", cloud: "alicloud-cn-hangzhou" };
  const parts = [
    { ...part, kind: "bucket", name: "videos-uploads", stem: "videos-uploads", versioned: false, removable: false },
    { ...part, kind: "queue", name: "videos-requests", stem: "videos-requests", deadLetters: "videos-dead-letters" },
    { ...part, kind: "queue", name: "videos-dead-letters", stem: "videos-dead-letters" },
  ];
  const queue = { kind: "queue", account: "1", region: "cn-hangzhou", endpoint: queueEndpoint };
  const addresses = {
    "videos-uploads": { kind: "bucket", bucket: "videos-uploads-x", region: "cn-hangzhou", endpoint: bucketEndpoint },
    "videos-requests": { ...queue, queue: "requests-x" },
    "videos-dead-letters": { ...queue, queue: "dead-x" },
  };
  const clouds = [{ name: "alicloud-cn-hangzhou", kind: "alicloud", region: "cn-hangzhou" }];
  const constructs = [{ name: "videos", type: "VideoTranscodePipeline", id: "videos", cloud: clouds[0]!.name }];
  const plan = { version: 1, project: "p", stack: "prod", clouds, constructs, parts };
  writeFileSync(join(folder, "prod.json"), JSON.stringify({ millrace: { plan, addresses } }));
  const storage = await new Promise<number>((listening) => {
    store.listen(0, "127.0.0.1", () => listening((store.address() as AddressInfo).port));
  });
  const archive = { kind: "bucket", bucket: "archive-x", region: "us-east-1", endpoint: `http://127.0.0.1:${storage}` };
  const both = {
    plan: {
      ...plan,
      clouds: [...clouds, { name: "aws-us-east-1", kind: "aws", region: "us-east-1" }],
      parts: [...parts, { ...parts[0], name: "archive-files", construct: "archive", cloud: "aws-us-east-1" }],
    },
    addresses: { ...addresses, "archive-files": archive },
  };
  writeFileSync(join(folder, "both.json"), JSON.stringify({ millrace: both }));
  const strange = { ...both, plan: { ...both.plan, clouds: [...clouds, { name: "local", kind: "local" }] } };
  writeFileSync(join(folder, "strange.json"), JSON.stringify({ millrace: strange }));
  writeFileSync(join(folder, "bare.json"), JSON.stringify({ other: 1 }));
});
afterAll(async () => {
  await Promise.all([oss.server.close(), smq.server.close()]);
  store.close();
  rmSync(folder, { recursive: true });
});

const run = (...words: string[]) => millrace(words, { cwd: folder, env });
const json = async <Value>(...words: string[]): Promise<Value> => {
  const { code, out, err } = await run(...words, "--stack", "prod.json", "--json");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return JSON.parse(out) as Value;
};

test("buckets of a deployed stack", async () => {
  writeFileSync(join(folder, "cat.txt"), "meow");
  expect(await json("buckets", "put", "videos-uploads", "cat.txt")).toMatchObject([{ key: "cat.txt", size: 4 }]);
  expect(await json("buckets", "ls", "videos")).toMatchObject([{ key: "cat.txt" }]);
  const got = await run("buckets", "get", "videos", "cat.txt", "-", "--stack", "prod.json");
  expect(got).toMatchObject({ code: 0, out: "meow" });
});

test("queues of a deployed stack: send, look, and give dead letters back", async () => {
  await json("queues", "send", "videos-dead-letters", "one", "--attribute", "colour=blue");
  await json("queues", "send", "videos-dead-letters", "two");
  expect(await json("queues", "ls")).toMatchObject([
    { name: "videos-requests", ready: 0 },
    { name: "videos-dead-letters", ready: 2, inFlight: 0, delayed: 0 },
  ]);
  expect(await json("queues", "peek", "videos-dead-letters")).toMatchObject([
    { body: "one", attributes: { colour: "blue" }, receives: 0 },
    { body: "two" },
  ]);
  const { code } = await run("queues", "redrive", "videos-dead-letters", "--stack", "prod.json");
  expect(code).toBe(0);
  expect(await json("queues", "ls")).toMatchObject([{ ready: 2 }, { ready: 0, inFlight: 0 }]);
  expect(await json("queues", "peek", "videos-requests", "--limit", "1")).toMatchObject([
    { body: "one", attributes: { colour: "blue" } },
  ]);
});

test("a stack on two clouds: each part is asked of the cloud that has it", async () => {
  const keys = { ...env, AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret" };
  const both = (...words: string[]) => millrace([...words, "--stack", "both.json"], { cwd: folder, env: keys });
  writeFileSync(join(folder, "dog.txt"), "woof");
  expect(await both("buckets", "put", "archive-files", "dog.txt")).toMatchObject({ code: 0 });
  expect([...stored]).toEqual([["dog.txt", "woof"]]);
  expect(await both("buckets", "get", "archive-files", "dog.txt", "-")).toMatchObject({
    code: 0,
    err: "",
    out: "woof",
  });
  expect(await both("buckets", "put", "videos-uploads", "dog.txt")).toMatchObject({ code: 0 });
  expect(oss.objects.get("dog.txt")?.bytes.toString()).toBe("woof");
  expect(await both("queues", "ls")).toMatchObject({ code: 0, out: expect.stringContaining("videos-requests") });
  const strange = await millrace(["buckets", "ls", "videos", "--stack", "strange.json"], { cwd: folder, env: keys });
  expect(strange.err).toContain("it runs on local; verbs reach alicloud, aws, kubernetes");
});

test("what is missing is said: the output, the command, the keys, the part", async () => {
  const bare = await run("tasks", "list", "videos", "--stack", "bare.json");
  expect(bare).toMatchObject({ code: 1, out: "" });
  expect(bare.err).toContain("has no output millrace; export it");
  const words = ["buckets", "ls", "videos", "--stack", "prod"];
  const noPulumi = await millrace(words, { cwd: folder, env: { ...env, PATH: "" } });
  expect(noPulumi.err).toContain("there is no command pulumi here; give a file instead");
  const odd = await run("buckets", "ls", "--stack", "--help-me");
  expect(odd.code).toBe(1);
  expect(odd.err).toContain("--stack --help-me: that is no stack's name");
  const noKeys = await millrace(["buckets", "ls", "videos", "--stack", "prod.json"], {
    cwd: folder,
    env: { ...env, ALIBABA_CLOUD_ACCESS_KEY_SECRET: "" },
  });
  expect(noKeys.err).toContain("ALIBABA_CLOUD_ACCESS_KEY_SECRET is not set");
  const noTask = await run("tasks", "list", "videos", "--stack", "prod.json");
  expect(noTask.err).toContain('there is no task "videos"; the plan has no task');
});
