import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalServer, serveLocal } from "../../lib/clouds/local/host/server.ts";
import { TestView } from "../clouds/local/view.ts";

let folder: string;
let view: TestView;
let server: LocalServer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "millrace-client-"));
  view = new TestView(folder);
  server = await serveLocal({ view, folder });
});

afterAll(async () => {
  await server.close();
  view.close();
  rmSync(folder, { recursive: true });
});

/** A user's backend: submits, waits, follows, and meets an error. */
const BACKEND = `
  import { MillraceError, isFinal, taskClient } from "./lib/client/index.ts";
  const tasks = taskClient({ local: process.argv[2] });
  await tasks.submit("resize-task", { image: "猫.png" }, { id: "cat" });
  const run = await tasks.wait("resize-task", "cat");
  const lines = [];
  for await (const { message } of tasks.logs("resize-task", "cat", { follow: true })) lines.push(message);
  const error = await tasks.get("nobody", "cat").catch((error) => error);
  console.log(JSON.stringify({
    isFinal: isFinal(run.status),
    lines,
    error: { isMillraceError: error instanceof MillraceError, kind: error.kind, message: error.message },
    major: Number(process.versions.node.split(".")[0]),
  }));
`;

async function bundleBackend() {
  const file = join(folder, "backend.mjs");
  const { metafile } = await build({
    stdin: { contents: BACKEND, resolveDir: process.cwd(), sourcefile: "backend.ts", loader: "ts" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    metafile: true,
    outfile: file,
  });
  return { file, inputs: Object.keys(metafile.inputs), outputs: Object.values(metafile.outputs) };
}

/** Some other Node on the PATH than the project's own, if it is a Node 20. */
const node20 = (process.env.PATH ?? "")
  .split(delimiter)
  .filter((path) => !path.includes("node_modules"))
  .map((path) => join(path, "node"))
  .find((path) => existsSync(path) && execFileSync(path, ["--version"], { encoding: "utf8" }).startsWith("v20."));

test("loads nothing but a few files of ours and of Node", async () => {
  const { inputs, outputs } = await bundleBackend();
  expect(inputs.filter((path) => path.includes("node_modules"))).toEqual([]);
  const builtins = outputs.flatMap(({ imports }) => imports.map(({ path }) => path));
  const modules = ["events", "fs/promises", "http", "path", "stream", "stream/consumers", "stream/promises"];
  expect([...new Set(builtins)].sort()).toEqual(modules.map((name) => `node:${name}`));
});

const EXPECTED = {
  isFinal: true,
  lines: ["by client"],
  error: { isMillraceError: true, kind: "not-found", message: "no task nobody" },
};

test("serves a backend", async () => {
  const { file } = await bundleBackend();
  const { stdout } = await promisify(execFile)(process.execPath, [file, folder]);
  expect(JSON.parse(stdout)).toMatchObject(EXPECTED);
});

test.skipIf(!node20)(
  `serves a backend on Node 20${node20 ? "" : " (skipped: there is none on the PATH)"}`,
  async () => {
    const { file } = await bundleBackend();
    const { stdout } = await promisify(execFile)(node20!, [file, folder]);
    expect(JSON.parse(stdout)).toMatchObject({ ...EXPECTED, major: 20 });
  },
);
