import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bootstrapScript, type FetchedFile } from "../../lib/bundle/bootstrap.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const KEYS = { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret", AWS_SESSION_TOKEN: "session" };

const asked: IncomingMessage[] = [];
const answers = new Map<string, Answer[]>();
const server = createServer((request, response) => {
  asked.push(request);
  const list = answers.get(request.url!) ?? [];
  const answer = list.length > 1 ? list.shift() : list[0]; // the last one stays
  if (answer) answer(request, response);
  else response.writeHead(404).end();
});
let endpoint: string;
let folder: string;
let into: string;
let script: string;

beforeAll(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  folder = mkdtempSync(join(tmpdir(), "millrace-bootstrap-"));
  script = join(folder, "bootstrap.mjs");
  writeFileSync(script, await bootstrapScript());
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  asked.length = 0;
  answers.clear();
  into = join(mkdtempSync(join(folder, "into-")), "app");
});

const bytes = (text: string): Buffer => Buffer.from(text);
const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

const whole =
  (data: Uint8Array): Answer =>
  (_, response) =>
    response.end(data);
const status =
  (code: number): Answer =>
  (_, response) =>
    response.writeHead(code).end();
/** Promises all bytes, sends half of them and hangs up. */
const cut =
  (data: Uint8Array): Answer =>
  (_, response) => {
    response.writeHead(200, { "content-length": data.byteLength });
    response.write(data.subarray(0, data.byteLength / 2), () => response.destroy());
  };

/** The code of a function, as an object of the bucket. */
function code(files: Record<string, string>, ...first: Answer[]): FetchedFile {
  const zip = zipSync(Object.fromEntries(Object.entries(files).map(([name, text]) => [name, bytes(text)])));
  answers.set("/artifacts/code%2B1.zip", [...first, whole(zip)]);
  return { key: "code+1.zip", sha256: sha256(zip), as: "code", name: "code" };
}

interface Ending {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

function start(args: readonly string[], env: Record<string, string>) {
  return spawn(process.execPath, args, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] });
}

async function endOf(child: ReturnType<typeof start>): Promise<Ending> {
  let [out, error] = ["", ""];
  child.stdout.on("data", (data) => {
    out += data;
  });
  child.stderr.on("data", (data) => {
    error += data;
  });
  const [code] = await once(child, "close");
  return { code, out, error };
}

const environment = (files: readonly FetchedFile[], keys: Record<string, string> = KEYS) => ({
  ...keys,
  MILLRACE_FETCH: JSON.stringify({ endpoint, region: "eu-central-1", bucket: "artifacts", into, files }),
});

const run = (files: readonly FetchedFile[], args: readonly string[] = [], keys?: Record<string, string>) =>
  endOf(start([script, ...args], environment(files, keys)));

const list = (at: string): readonly string[] => (existsSync(at) ? readdirSync(at).sort() : []);

test("the script is the same text every time, small enough for a command line, and ASCII", async () => {
  const text = await bootstrapScript();
  expect(await bootstrapScript()).toBe(text);
  expect(text.length).toBeLessThan(12_000);
  expect(text).toMatch(/^[\n -~]*$/);
  expect([...text.matchAll(/\bfrom"([^"]+)"/g)].filter(([, name]) => !name!.startsWith("node:"))).toEqual([]);
});

describe("what the manifest names", () => {
  test("code is unpacked and a tool made executable; each request is signed", async () => {
    const zip = zipSync({ "bin/ffprobe": bytes("#!/bin/sh\necho probed\n"), other: bytes("") });
    answers.set("/artifacts/tool", [whole(bytes("#!/bin/sh\necho made\n"))]);
    answers.set("/artifacts/zip", [whole(zip)]);
    answers.set("/artifacts/data", [whole(bytes("weights"))]);
    const ended = await run([
      code({ "index.mjs": "1;", "node_modules/a/ü.js": "2;", "empty.txt": "" }),
      { key: "tool", sha256: sha256(bytes("#!/bin/sh\necho made\n")), as: "tool", name: "ffmpeg" },
      { key: "zip", sha256: sha256(zip), as: "tool", name: "ffprobe", member: "bin/ffprobe" },
      { key: "data", sha256: sha256(bytes("weights")), as: "tool", name: "model", executable: false },
    ]);
    expect(ended).toMatchObject({ code: 0, error: "" });
    expect(readFileSync(join(into, "code/node_modules/a/ü.js"), "utf8")).toBe("2;");
    expect(readFileSync(join(into, "code/empty.txt"), "utf8")).toBe("");
    expect(["ffmpeg", "ffprobe", "model"].map((name) => statSync(join(into, "bin", name)).mode & 0o777)).toEqual([
      0o755, 0o755, 0o644,
    ]);
    expect(list(into)).toEqual([".have", "bin", "code"]);
    for (const { headers } of asked) {
      expect(headers["x-amz-security-token"]).toBe("session");
      expect(headers.authorization).toMatch(
        /^AWS4-HMAC-SHA256 Credential=id\/\d{8}\/eu-central-1\/s3\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}$/,
      );
    }
  });

  test("a second start fetches nothing, one with other code fetches that alone and leaves nothing of the old", async () => {
    const first = code({ "index.mjs": "1;", "old.mjs": "" });
    await run([first]);
    expect(await run([first])).toMatchObject({ code: 0, out: "" });
    expect(asked.length).toBe(1);
    expect((await run([code({ "index.mjs": "2;" })])).code).toBe(0);
    expect(asked.length).toBe(2);
    expect(list(join(into, "code"))).toEqual(["index.mjs"]);
    expect(readFileSync(join(into, "code/index.mjs"), "utf8")).toBe("2;");
  });

  test("files of a zip keep that they can be executed", async () => {
    const zip = zipSync({ run: [bytes("#!/bin/sh\n"), { os: 3, attrs: (0o100755 << 16) >>> 0, level: 0 }] });
    answers.set("/artifacts/x", [whole(zip)]);
    await run([{ key: "x", sha256: sha256(zip), as: "code", name: "code" }]);
    expect(statSync(join(into, "code/run")).mode & 0o777).toBe(0o755);
  });
});

describe("what is not as it should be", () => {
  test("a wrong hash leaves nothing, and is said with the object and both hashes", async () => {
    const right = code({ "index.mjs": "1;" });
    const ended = await run([{ ...right, sha256: "0".repeat(64) }]);
    expect(ended).toMatchObject({
      code: 1,
      error: `bootstrap: artifacts/code+1.zip at ${endpoint}: its sha256 is ${right.sha256}, not ${"0".repeat(64)}\n`,
    });
    expect(asked.length).toBe(1);
    expect(list(into)).toEqual([".have"]);
    expect(list(join(into, ".have"))).toEqual([]);
  });

  test("a wrong hash of new code keeps the old", async () => {
    await run([code({ "index.mjs": "1;" })]);
    expect((await run([{ ...code({ "index.mjs": "2;" }), sha256: "0".repeat(64) }])).code).toBe(1);
    expect(readFileSync(join(into, "code/index.mjs"), "utf8")).toBe("1;");
  });

  test("a missing object is not asked for again", async () => {
    const ended = await run([{ key: "gone", sha256: "0".repeat(64), as: "code", name: "code" }]);
    expect(ended).toMatchObject({ code: 1, error: `bootstrap: artifacts/gone at ${endpoint}: the answer is: 404\n` });
    expect(asked.length).toBe(1);
  });

  test("a cut connection, a busy store and a throttled request are tried again, from the beginning", async () => {
    const zip = zipSync({ "index.mjs": bytes("1;".repeat(100)) });
    const file = code({ "index.mjs": "1;".repeat(100) }, cut(zip), status(503), status(429));
    expect(await run([file])).toMatchObject({ code: 0, error: "" });
    expect(asked.length).toBe(4);
    expect(readFileSync(join(into, "code/index.mjs"), "utf8")).toBe("1;".repeat(100));
  });

  test("what is always cut fails in the end, with the reason", async () => {
    answers.set("/artifacts/x", [cut(bytes("half of it"))]);
    const ended = await run([{ key: "x", sha256: sha256(bytes("half of it")), as: "tool", name: "x" }]);
    expect(ended.code).toBe(1);
    expect(ended.error).toMatch(/^bootstrap: artifacts\/x at \S+: aborted\n$/);
    expect(asked.length).toBe(6);
    expect(list(into)).toEqual([".have"]);
  });

  test.each(["../out.mjs", "a/../../out.mjs", "/tmp/millrace-out.mjs", "..\\out.mjs"])(
    "a zip with %s is not unpacked at all",
    async (path) => {
      const zip = zipSync({ "index.mjs": bytes("1;"), [path]: bytes("2;") });
      answers.set("/artifacts/x", [whole(zip)]);
      const ended = await run([{ key: "x", sha256: sha256(zip), as: "code", name: "code" }]);
      expect(ended.error).toBe(`bootstrap: artifacts/x: the zip's ${JSON.stringify(path)} leads out of its folder\n`);
      expect(ended.code).toBe(1);
      expect(list(into)).toEqual([".have"]);
      expect(list(join(into, ".."))).toEqual(["app"]);
      expect(existsSync("/tmp/millrace-out.mjs")).toBe(false);
    },
  );

  test("a zip with a symbolic link is not unpacked", async () => {
    const zip = zipSync({ link: [bytes("/etc"), { os: 3, attrs: (0o120777 << 16) >>> 0 }] });
    answers.set("/artifacts/x", [whole(zip)]);
    const ended = await run([{ key: "x", sha256: sha256(zip), as: "code", name: "code" }]);
    expect(ended).toMatchObject({
      code: 1,
      error: 'bootstrap: artifacts/x: the zip\'s "link" leads out of its folder\n',
    });
  });

  test.each([
    ["no zip", bytes("plain"), "it is no zip"],
    ["half a zip", zipSync({ a: bytes("1".repeat(500)) }, { level: 0 }).subarray(200), "the zip is cut off"],
  ])("%s as code", async (_, data, reason) => {
    answers.set("/artifacts/x", [whole(data)]);
    const ended = await run([{ key: "x", sha256: sha256(data), as: "code", name: "code" }]);
    expect(ended).toMatchObject({ code: 1, error: `bootstrap: artifacts/x: ${reason}\n` });
    expect(list(into)).toEqual([".have"]);
  });

  test("a tool that its zip does not hold", async () => {
    const ended = await run([{ ...code({ a: "" }), as: "tool", member: "bin/b" }]);
    expect(ended).toMatchObject({ code: 1, error: "bootstrap: artifacts/code+1.zip: the zip has no bin/b\n" });
  });

  test.each<[string, Partial<FetchedFile>]>([
    ['files[0].name: "../x" is not letters, digits, ".", "_" and "-", but not "bin"', { name: "../x" }],
    ['files[0].name: "bin" is not letters, digits, ".", "_" and "-", but not "bin"', { name: "bin" }],
    ['files[0].sha256: "abc" is not 64 hexadecimal digits, in lower case', { sha256: "abc" }],
    ['files[0].as: "tools" is not "code" or "tool"', { as: "tools" as "tool" }],
  ])("a manifest with %s", async (message, wrong) => {
    const ended = await run([{ ...code({}), ...wrong }]);
    expect(ended).toMatchObject({ code: 1, error: `bootstrap: MILLRACE_FETCH: ${message}\n` });
    expect(asked.length).toBe(0);
  });

  test("no manifest", async () => {
    const ended = await endOf(start([script], {}));
    expect(ended.error).toBe("bootstrap: MILLRACE_FETCH: is not set: it says as JSON what to fetch\n");
  });

  test("SIGTERM while it fetches ends it at once, and clears away", async () => {
    const waits = new Promise<void>((resolve) => {
      answers.set("/artifacts/x", [(_, response) => void response.write("beginning", () => resolve())]);
    });
    const child = start([script], environment([{ key: "x", sha256: "0".repeat(64), as: "tool", name: "x" }]));
    const end = endOf(child);
    await waits;
    child.kill("SIGTERM");
    expect((await end).code).toBe(143);
    expect(list(into)).toEqual([".have"]);
  });
});

describe("--then goes on with what was fetched", () => {
  const main = `
    import { execFileSync } from "node:child_process";
    console.log(JSON.stringify({ argv: process.argv.slice(1), tool: execFileSync("said", { encoding: "utf8" }) }));`;

  function files(): readonly FetchedFile[] {
    const tool = bytes("#!/bin/sh\nprintf hello\n");
    answers.set("/artifacts/said", [whole(tool)]);
    return [code({ "index.mjs": main }), { key: "said", sha256: sha256(tool), as: "tool", name: "said" }];
  }

  test("from a file, in the same process, with its arguments and its tools", async () => {
    const file = join(into, "code/index.mjs");
    const { out, error } = await run(files(), ["--then", file, "one"]);
    expect(error).toBe("");
    expect(JSON.parse(out.split("\n").at(-2)!)).toEqual({ argv: [file, "one"], tool: "hello" });
  });

  test("from the command line", async () => {
    const file = join(into, "code/index.mjs");
    const args = ["--input-type=module", "-e", readFileSync(script, "utf8"), "--", "--then", file];
    const { out, error } = await endOf(start(args, environment(files())));
    expect(error).toBe("");
    expect(JSON.parse(out.split("\n").at(-2)!)).toEqual({ argv: [file], tool: "hello" });
  });

  test("its failure is the container's", async () => {
    const ended = await run(
      [code({ "index.mjs": 'throw new Error("at its start");' })],
      ["--then", join(into, "code/index.mjs")],
    );
    expect(ended.code).toBe(1);
    expect(ended.error).toContain("at its start");
  });

  test("nothing is started when something is missing", async () => {
    const [file] = [code({ "index.mjs": 'console.log("started")' })];
    const missing: FetchedFile = { key: "gone", sha256: "0".repeat(64), as: "tool", name: "gone" };
    const ended = await run([file, missing], ["--then", join(into, "code/index.mjs")]);
    expect(ended.code).toBe(1);
    expect(ended.out).not.toContain("started");
  });
});

describe("credentials", () => {
  const given = JSON.stringify({ AccessKeyId: "from-there", SecretAccessKey: "secret", Token: "token" });
  const usedKey = () => /Credential=([^/]+)/.exec(asked.at(-1)?.headers.authorization ?? "")?.[1];

  test("from the container's address, with the token from the environment; a busy one is asked again", async () => {
    answers.set("/keys", [status(500), whole(bytes(given))]);
    const keys = { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint}/keys`, AWS_CONTAINER_AUTHORIZATION_TOKEN: "allow" };
    expect(await run([code({ a: "" })], [], keys)).toMatchObject({ code: 0, error: "" });
    expect(asked.map(({ url }) => url)).toEqual(["/keys", "/keys", "/artifacts/code%2B1.zip"]);
    expect(asked[0]?.headers.authorization).toBe("allow");
    expect(usedKey()).toBe("from-there");
  });

  test("from the container's address, with the token from a file", async () => {
    answers.set("/keys", [whole(bytes(given))]);
    const file = join(folder, "token");
    writeFileSync(file, "from a file\n");
    const keys = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint}/keys`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file,
    };
    expect((await run([code({ a: "" })], [], keys)).code).toBe(0);
    expect(asked[0]?.headers.authorization).toBe("from a file");
  });

  test("a token is not sent in clear text to another machine", async () => {
    const keys = { AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://example.com/keys" };
    const ended = await run([code({ a: "" })], [], keys);
    expect(ended).toMatchObject({
      code: 1,
      error:
        "bootstrap: AWS_CONTAINER_CREDENTIALS_FULL_URI: http://example.com/keys is neither https nor an address of this machine\n",
    });
  });

  test("from a web identity", async () => {
    const xml = `<R><Credentials><AccessKeyId>web</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken></Credentials></R>`;
    let body = "";
    answers.set("/", [
      (request, response) => {
        request.on("data", (data) => {
          body += data;
        });
        request.on("end", () => response.end(xml));
      },
    ]);
    const file = join(folder, "identity");
    writeFileSync(file, "jwt\n");
    const keys = {
      AWS_WEB_IDENTITY_TOKEN_FILE: file,
      AWS_ROLE_ARN: "arn:aws:iam::1:role/a",
      AWS_ENDPOINT_URL_STS: endpoint,
    };
    expect(await run([code({ a: "" })], [], keys)).toMatchObject({ code: 0, error: "" });
    expect(Object.fromEntries(new URLSearchParams(body))).toMatchObject({
      Action: "AssumeRoleWithWebIdentity",
      RoleArn: "arn:aws:iam::1:role/a",
      WebIdentityToken: "jwt",
    });
    expect(usedKey()).toBe("web");
  });

  test("without any, it says where they may be", async () => {
    const ended = await run([code({ a: "" })], [], {});
    expect(ended.code).toBe(1);
    expect(ended.error).toMatch(/^bootstrap: no credentials: set AWS_ACCESS_KEY_ID /);
    expect(asked.length).toBe(0);
  });
});
