import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { zipSync } from "fflate";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { bootstrapScript, type FetchedFile } from "../../lib/bundle/bootstrap.ts";
import { type S3Server, startS3 } from "./servers/index.ts";

let server: S3Server;
let client: S3Client;
let folder: string;
let into: string;
let script: string;

beforeAll(async () => {
  server = await startS3();
  client = new S3Client({
    endpoint: server.url,
    region: server.region,
    credentials: server.credentials,
    forcePathStyle: true,
  });
  await client.send(new CreateBucketCommand({ Bucket: "artifacts" }));
  folder = await mkdtemp(join(tmpdir(), "millrace-bootstrap-"));
  script = join(folder, "bootstrap.mjs");
  await writeFile(script, await bootstrapScript());
});
afterAll(async () => {
  client.destroy();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  into = join(await mkdtemp(join(folder, "into-")), "app");
});

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

async function put(Key: string, Body: Uint8Array): Promise<Pick<FetchedFile, "key" | "sha256">> {
  await client.send(new PutObjectCommand({ Bucket: "artifacts", Key, Body }));
  return { key: Key, sha256: sha256(Body) };
}

const code = async (key: string, files: Record<string, string>): Promise<FetchedFile> => ({
  ...(await put(
    key,
    zipSync(Object.fromEntries(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)]))),
  )),
  as: "code",
  name: "code",
});

interface Options {
  readonly endpoint?: string;
  readonly secret?: string;
  readonly args?: readonly string[];
}

async function run(files: readonly FetchedFile[], { endpoint = server.url, secret, args = [] }: Options = {}) {
  const { accessKeyId, secretAccessKey } = server.credentials;
  const child = spawn(process.execPath, [script, ...args], {
    env: {
      PATH: process.env.PATH,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secret ?? secretAccessKey,
      MILLRACE_FETCH: JSON.stringify({ endpoint, region: server.region, bucket: "artifacts", into, files }),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, error] = ["", ""];
  child.stdout.on("data", (data) => {
    out += data;
  });
  child.stderr.on("data", (data) => {
    error += data;
  });
  const [exit] = await once(child, "close");
  return { code: exit as number | null, out, error };
}

/** Passes connections on to the store; those that come first are cut after so many bytes of the answer. */
async function cutting(
  ...bytes: readonly number[]
): Promise<{ url: string; connections: () => number; close: Server }> {
  const left = [...bytes];
  let count = 0;
  const close = createServer((from) => {
    count++;
    let rest = left.shift() ?? Number.POSITIVE_INFINITY;
    const to = connect(Number(new URL(server.url).port), "127.0.0.1");
    for (const socket of [from, to]) socket.on("error", () => {});
    from.on("close", () => to.destroy());
    from.pipe(to);
    to.on("end", () => from.end());
    to.on("data", (data) => {
      from.write(data.subarray(0, rest));
      rest -= data.byteLength;
      if (rest <= 0) from.end(() => from.destroy());
    });
  });
  await once(close.listen(0, "127.0.0.1"), "listening");
  return { url: `http://127.0.0.1:${(close.address() as { port: number }).port}`, connections: () => count, close };
}

test("code and tool come from the store with a signature that it accepts, whatever is in the key, and start", async () => {
  const tool = Buffer.from("#!/bin/sh\nprintf hello\n");
  const files: readonly FetchedFile[] = [
    await code("code/a b+c%#ü!'()*~.zip", {
      "index.mjs": 'import { execFileSync } from "node:child_process"; console.log(execFileSync("said") + " you");',
    }),
    { ...(await put("tools/said", tool)), as: "tool", name: "said" },
  ];
  const { error, out } = await run(files, { args: ["--then", join(into, "code/index.mjs")] });
  expect(error).toBe("");
  expect(out).toMatch(/hello you\n$/);
});

test("a second start finds all there: it needs no store", async () => {
  const files = [await code("code/one.zip", { "index.mjs": "1;" })];
  expect((await run(files)).code).toBe(0);
  expect(await run(files, { endpoint: "http://127.0.0.1:1" })).toEqual({ code: 0, out: "", error: "" });
});

test("a large tool goes to disk as it comes: memory does not hold it", async () => {
  const [file, size] = [join(folder, "large"), 300 * 1024 * 1024];
  const block = Buffer.alloc(1024 * 1024, "millrace");
  await pipeline(Readable.from(Array.from({ length: size / block.length }, () => block)), createWriteStream(file));
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  await client.send(
    new PutObjectCommand({ Bucket: "artifacts", Key: "large", Body: createReadStream(file), ContentLength: size }),
  );
  await mkdir(into);
  const peak = join(into, "peak.mjs");
  await writeFile(peak, "console.log('peak', process.resourceUsage().maxRSS);");
  const files: readonly FetchedFile[] = [{ key: "large", sha256: hash.digest("hex"), as: "tool", name: "large" }];
  const { out, error } = await run(files, { args: ["--then", peak] });
  expect(error).toBe("");
  expect((await stat(join(into, "bin/large"))).size).toBe(size);
  expect(Number(/peak (\d+)/.exec(out)?.[1])).toBeLessThan(250 * 1024);
});

test("a wrong hash, a missing object and a wrong key are said, and leave nothing", async () => {
  const right = await code("code/two.zip", { "index.mjs": "2;" });
  const said = async (file: FetchedFile, options?: Options) => {
    const ended = await run([file], options);
    expect(ended.code).toBe(1);
    expect(existsSync(join(into, "code"))).toBe(false);
    expect((await readdir(into)).filter((name) => name.startsWith(".draft"))).toEqual([]);
    return ended.error;
  };
  const object = (key: string) => `bootstrap: artifacts/${key} at ${server.url}:`;
  const wrong = "f".repeat(64);
  expect(await said({ ...right, sha256: wrong })).toBe(
    `${object("code/two.zip")} its sha256 is ${right.sha256}, not ${wrong}\n`,
  );
  expect(await said({ ...right, key: "code/gone.zip" })).toBe(`${object("code/gone.zip")} the answer is: 404\n`);
  expect(await said(right, { secret: "wrong" })).toBe(`${object("code/two.zip")} the answer is: 403\n`);
});

test("a connection that is cut twice is made again, and what comes is whole", async () => {
  const file = await code("code/cut.zip", {
    "index.mjs": Buffer.alloc(300_000)
      .map((_, i) => (i * i) % 97)
      .toString(),
  });
  const line = await cutting(100, 1500);
  try {
    expect(await run([file], { endpoint: line.url })).toMatchObject({ code: 0, error: "" });
    expect(line.connections()).toBe(3);
    expect((await readFile(join(into, "code/index.mjs"))).byteLength).toBe(300_000);
  } finally {
    line.close.close();
  }
});

test("a store that nobody answers for is given up, with the reason", async () => {
  const file = await code("code/three.zip", { "index.mjs": "3;" });
  const { code: exit, error } = await run([file], { endpoint: "http://127.0.0.1:1" });
  expect(exit).toBe(1);
  expect(error).toMatch(/^bootstrap: artifacts\/code\/three\.zip at http:\/\/127\.0\.0\.1:1: .+\n$/);
});

test("a hostile zip writes nothing", async () => {
  const { code: exit, error } = await run([await code("code/hostile.zip", { "a.mjs": "", "../../out.mjs": "" })]);
  expect(exit).toBe(1);
  expect(error).toBe('bootstrap: artifacts/code/hostile.zip: the zip\'s "../../out.mjs" leads out of its folder\n');
  expect(await readdir(into)).toEqual([".have"]);
  expect(existsSync(join(into, "../../out.mjs"))).toBe(false);
});
