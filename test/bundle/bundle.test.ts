import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BundleArgs, bundle } from "../../lib/bundle/bundle.ts";
import { BundleError } from "../../lib/bundle/bundle-error.ts";

const exec = promisify(execFile);
const NODE20 = "/usr/bin/node";
const isNode20 = existsSync(NODE20) && execFileSync(NODE20, ["--version"]).toString().startsWith("v20.");
let root: string;

beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "bundle-")));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A project of the user's: its files, by path. */
async function project(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(root, name);
  for (const [path, content] of Object.entries({ "entry.mjs": ENTRY, ...files })) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

/** Calls the handler once and prints its answer. */
const ENTRY = `export const start = async ({ handler, code, settings }) =>
  console.log(JSON.stringify(await handler({ n: 1 }, { code, settings })));`;

const argsFor = (folder: string, args: Partial<BundleArgs> = {}): BundleArgs => ({
  handler: { file: join(folder, "transform.ts") },
  code: {},
  settings: {},
  entry: join(folder, "entry.mjs"),
  outdir: join(folder, ".millrace", "functions"),
  install: [],
  target: "node24",
  ...args,
});

const output = async (file: string, node = process.execPath, ...flags: string[]) =>
  JSON.parse((await exec(node, [...flags, file])).stdout);

describe("bundle", () => {
  const SOURCES = {
    "transform.ts": `import { twice } from "./index.ts";
      export async function handler(event: { n: number }, { settings, code }: any) { return [twice(event.n), settings, code.hook.name(2)]; }`,
    "index.ts": `export default function () {}; export const unused = "SHAKEN_OFF"; enum Factor { Two = 2 }; export const twice = (n: number): number => n * Factor.Two;`,
    "hook.ts": `import anonymous from "./index.ts"; export const name = (n: number) => "hook " + n + typeof anonymous;`,
  };

  it("runs handler, code and settings in one file", async () => {
    const folder = await project("plain", SOURCES);
    const settings = { text: "\u2028 </script> `$x`", __proto__: null, list: [1, { deep: true }] };
    const made = await bundle(argsFor(folder, { settings, code: { hook: { file: join(folder, "hook.ts") } } }));
    expect(made.file).toBe(join(folder, ".millrace", "functions", made.hash, "index.mjs"));
    expect(await output(made.file)).toEqual([
      2,
      { text: "\u2028 </script> `$x`", list: [1, { deep: true }] },
      "hook 2function",
    ]);
    expect(made.inputs).toEqual(["entry.mjs", "hook.ts", "index.ts", "transform.ts"].map((name) => join(folder, name)));
    const text = await readFile(made.file, "utf8");
    expect(made.bytes).toBe(Buffer.byteLength(text));
    expect(text).not.toContain("SHAKEN_OFF");
    expect(await readdir(join(folder, ".millrace", "functions"))).toEqual([made.hash]);
  });

  it("gives the same bytes in another folder, and no path of the machine", async () => {
    const first = await project("first", SOURCES);
    const second = await project("elsewhere/second", SOURCES);
    const [one, two] = await Promise.all(
      [first, second].map((folder) => bundle(argsFor(folder, { code: { hook: { file: join(folder, "hook.ts") } } }))),
    );
    expect(one!.hash).toBe(two!.hash);
    for (const suffix of ["", ".map"]) {
      const bytes = await readFile(one!.file + suffix, "utf8");
      expect(bytes).toBe(await readFile(two!.file + suffix, "utf8"));
      for (const part of [root, "first", "tmp/"]) expect(bytes).not.toContain(part);
    }
  });

  it("bundles a handler of ours without a path of the machine", async () => {
    const folder = await project("ours", {});
    const made = await bundle(argsFor(folder, { handler: { id: "tasks/dispatch" } }));
    const map = JSON.parse(await readFile(`${made.file}.map`, "utf8"));
    expect(map.sources).toContain("millrace:///handlers/tasks/dispatch.ts");
    expect(JSON.stringify(map) + (await readFile(made.file, "utf8"))).not.toContain(process.cwd());
  });

  it("uses a bundle again, also when several make it at once", async () => {
    const folder = await project("again", SOURCES);
    const args = argsFor(folder, { code: { hook: { file: join(folder, "hook.ts") } } });
    const made = await Promise.all([bundle(args), bundle(args), bundle(args)]);
    expect(new Set(made.map(({ hash }) => hash)).size).toBe(1);
    expect(await readdir(args.outdir)).toEqual([made[0]!.hash]);
    await writeFile(made[0]!.file, "kept");
    expect((await bundle(args)).hash).toBe(made[0]!.hash);
    expect(await readFile(made[0]!.file, "utf8")).toBe("kept");
    await writeFile(join(folder, "transform.ts"), "export const handler = async () => 2;");
    expect((await bundle(args)).hash).not.toBe(made[0]!.hash);
  });

  it("bundles CommonJS packages that require Node's modules, and user code that makes its own require", async () => {
    const folder = await project("commonjs", {
      "transform.ts": `import { createRequire } from "node:module"; import legacy from "legacy";
        const require = createRequire(import.meta.url); const __dirname = "mine";
        export const handler = async () => [legacy.join("a", "b"), typeof require("node:os").cpus, __dirname];`,
      "node_modules/legacy/package.json": `{"name":"legacy","main":"main.js"}`,
      "node_modules/legacy/main.js": `const path = require("path"); if (!__dirname) throw 1; exports.join = (...all) => path.posix.join(...all);`,
    });
    const made = await bundle(argsFor(folder));
    expect(await output(made.file)).toEqual(["a/b", "function", "mine"]);
    expect(made.inputs.some((input) => input.includes("node_modules"))).toBe(false);
  });

  it("leaves installed packages out, and names one that is not there", async () => {
    const folder = await project("install", {
      "transform.ts": `import { size } from "native/sub.js"; export const handler = async () => size;`,
      "node_modules/native/package.json": `{"name":"native","type":"module"}`,
      "node_modules/native/sub.js": `export const size = "FROM_NODE_MODULES";`,
    });
    const made = await bundle(argsFor(folder, { install: ["native"] }));
    expect(await readFile(made.file, "utf8")).not.toContain("FROM_NODE_MODULES");
    expect(await output(made.file)).toBe("FROM_NODE_MODULES");
    await expect(bundle(argsFor(folder, { install: ["native", "@img/none"] }))).rejects.toThrow(
      /install: the package "@img\/none" is not in a node_modules folder.*npm install @img\/none/,
    );
  });

  it("maps a thrown error to the user's file and line", async () => {
    const folder = await project("mapped", {
      "transform.ts": `interface Event { n: number }\n\nexport async function handler(event: Event) {\n  return explode(event);\n}\nfunction explode(event: Event): never {\n  throw new RangeError("boom " + event.n);\n}`,
    });
    const { file } = await bundle(argsFor(folder));
    const failed = await exec(process.execPath, ["--enable-source-maps", file]).catch((error) => error);
    expect(failed.stderr).toContain(`${join(folder, "transform.ts")}:7:9`);
    expect(failed.stderr).toContain("RangeError: boom 1");
    expect(failed.stderr).toMatch(/at explode/);
  });

  it("maps what a package throws to the package's file and line, without carrying its text", async () => {
    const folder = await project("thrower", {
      "transform.ts": `import { refuse } from "thrower";\n\nexport async function handler() { return refuse(); }`,
      "node_modules/thrower/package.json": `{"name":"thrower","type":"module","main":"main.js"}`,
      "node_modules/thrower/main.js": `// TEXT_OF_PACKAGE\n\nexport function refuse() {\n  throw new Error("refused");\n}`,
    });
    const { file } = await bundle(argsFor(folder));
    const failed = await exec(process.execPath, ["--enable-source-maps", file]).catch((error) => error);
    expect(failed.stderr).toContain(`${join(folder, "node_modules", "thrower", "main.js")}:4:9`);
    expect(failed.stderr).toContain(`${join(folder, "transform.ts")}:3:`);
    const map = await readFile(`${file}.map`, "utf8");
    expect(map).not.toContain("TEXT_OF_PACKAGE");
    expect(map).toContain("return refuse();");
  });

  it("takes the AWS SDK as ES modules where it is imported, and what is not used of it stays out", async () => {
    const folder = await project("sdk", {
      "transform.ts": `import { used } from "@aws-sdk/client-s3"; import legacy from "legacy"; import { both } from "both";
        export const handler = async () => [used, legacy, both];`,
      "node_modules/@aws-sdk/client-s3/package.json": `{"name":"@aws-sdk/client-s3","main":"./cjs/index.js","module":"./es/index.js","sideEffects":false}`,
      "node_modules/@aws-sdk/client-s3/cjs/index.js": `exports.used = "AS_COMMONJS"; exports.unused = "NOT_USED";`,
      "node_modules/@aws-sdk/client-s3/es/index.js": `export * from "./used"; export * from "./unused";`,
      "node_modules/@aws-sdk/client-s3/es/used.js": `export const used = "AS_MODULE";`,
      "node_modules/@aws-sdk/client-s3/es/unused.js": `export const unused = globalThis.unused ?? "NOT_USED_AS_MODULE";`,
      "node_modules/legacy/package.json": `{"name":"legacy","main":"main.js"}`,
      "node_modules/legacy/main.js": `module.exports = require("@aws-sdk/client-s3").used;`,
      // Any other package stays with what Node itself would take.
      "node_modules/both/package.json": `{"name":"both","main":"main.js","module":"module.js"}`,
      "node_modules/both/main.js": `exports.both = "MAIN";`,
      "node_modules/both/module.js": `export const both = "MODULE";`,
    });
    const made = await bundle(argsFor(folder));
    expect(await output(made.file)).toEqual(["AS_MODULE", "AS_COMMONJS", "MAIN"]);
    expect(await readFile(made.file, "utf8")).not.toContain("NOT_USED_AS_MODULE");
    const outside = await bundle(argsFor(folder, { install: ["@aws-sdk/client-s3"] }));
    expect(await readFile(outside.file, "utf8")).not.toContain("AS_MODULE");
  });

  it("evaluates a port only when it is asked for, and makes equal bytes of it every time", async () => {
    const entry = `export const start = async ({ ports }) => {
      const before = globalThis.evaluated ?? "nothing";
      const { port } = await ports.store();
      console.log(JSON.stringify([before, globalThis.evaluated, port]));
    };`;
    const folder = await project("lazy", {
      "entry.mjs": entry,
      "transform.ts": "export const handler = async () => 1;",
      "port.ts": `import { client } from "@smithy/client"; export const port = client;`,
      "node_modules/@smithy/client/package.json": `{"name":"@smithy/client","main":"./cjs.js","module":"./es.js"}`,
      "node_modules/@smithy/client/cjs.js": `globalThis.evaluated = "client"; exports.client = "cjs";`,
      "node_modules/@smithy/client/es.js": `globalThis.evaluated = "client"; export const client = "es";`,
    });
    const args = argsFor(folder, { ports: { store: join(folder, "port.ts") } });
    const { file, hash } = await bundle(args);
    expect(await output(file)).toEqual(["nothing", "client", "es"]);
    for (let again = 0; again < 3; again += 1) {
      await rm(dirname(file), { recursive: true });
      expect((await bundle(args)).hash).toBe(hash);
    }
  });

  it("loads what packages take of Node when they are evaluated, by any kind of import", async () => {
    const folder = await project("builtins", {
      "entry.mjs": `export const start = async ({ handler, ports }) => {
        const { port } = await ports.store();
        console.log(JSON.stringify([await handler(), port]));
      };`,
      "transform.ts": `import { sep } from "node:path"; export const handler = async () => sep;`,
      "port.ts": `export { port } from "client";`,
      "node_modules/client/package.json": `{"name":"client","main":"main.js"}`,
      "node_modules/client/main.js": `import http, { Agent } from "node:http"; import * as os from "os"; import { readFile } from "fs/promises";
        import sqlite from "node:sqlite"; import { EventEmitter as Emitter } from "events";
        const same = http.Agent === Agent && os.default.EOL === os.EOL;
        export const port = [same, typeof readFile, typeof sqlite.DatabaseSync, new Emitter().listenerCount("x")];`,
    });
    const made = await bundle(argsFor(folder, { ports: { store: join(folder, "port.ts") } }));
    expect(await output(made.file)).toEqual(["/", [true, "function", "function", 0]]);
    // The user's own imports are Node's to load.
    const imported = (await readFile(made.file, "utf8")).matchAll(/from ?"(node:[a-z/]+)"/g);
    expect([...imported].map(([, name]) => name).sort()).toEqual(["node:module", "node:path"]);
    expect(made.inputs).toEqual(["entry.mjs", "port.ts", "transform.ts"].map((name) => join(folder, name)));
  });

  it.skipIf(!isNode20)("runs on a real Node 20 (skipped where /usr/bin/node is another one)", async () => {
    const folder = await project("node20", {
      "transform.ts": `export async function handler() { using x = { [Symbol.dispose]() {} }; return [process.version.split(".")[0], typeof x]; }`,
    });
    const { file } = await bundle(argsFor(folder, { target: "node20" }));
    expect(await output(file, NODE20)).toEqual(["v20", "object"]);
  });
});

describe("bundle refuses", () => {
  const refusal = async (args: BundleArgs): Promise<BundleError> => {
    const error = await bundle(args).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(BundleError);
    return error as BundleError;
  };

  it("a syntax error, with file, line and place, leaving nothing behind", async () => {
    const folder = await project("syntax", {
      "transform.ts": `import "./broken.ts"; export const handler = async () => 1;`,
      "broken.ts": "const fine = 1;\nconst broken = = 2;",
    });
    const error = await refusal(argsFor(folder));
    expect(error.message).toBe(
      `${join(folder, "broken.ts")}:2:16: Unexpected "="\n    const broken = = 2;\n                   ^`,
    );
    expect(error.files).toEqual([join(folder, "broken.ts")]);
    expect(existsSync(join(folder, ".millrace"))).toBe(false);
  });

  it("all errors at once, such as modules that are not there", async () => {
    const folder = await project("missing", {
      "transform.ts": `import "./gone.ts"; import "no-such-package"; export const handler = async () => 1;`,
    });
    const { problems } = await refusal(argsFor(folder));
    expect(problems.map(({ text }) => text)).toEqual([
      'Could not resolve "./gone.ts"',
      'Could not resolve "no-such-package"',
    ]);
    expect(problems.map(({ line }) => line)).toEqual([1, 1]);
  });

  it("a module without the export, and says what it exports", async () => {
    const folder = await project("nohandler", { "transform.ts": "export const transform = 1; export default 2;" });
    const error = await refusal(argsFor(folder));
    expect(error.message).toContain(`transform.ts exports no "handler" (it exports "default", "transform")`);
    expect(error.message).toContain('write "export async function handler(event, context)" in transform.ts');
  });

  it("a handler that is no function, once it starts", async () => {
    const folder = await project("nofunction", { "transform.cjs": "exports.transform = () => 1;" });
    const { file } = await bundle(argsFor(folder, { handler: { file: join(folder, "transform.cjs") } }));
    await expect(output(file)).rejects.toThrow('transform.cjs exports no function "handler"');
  });

  it("files that are not there", async () => {
    const folder = await project("nofile", {});
    const gone = join(folder, "gone.ts");
    expect((await refusal(argsFor(folder, { handler: { file: gone } }))).message).toBe(`there is no file ${gone}`);
    expect((await refusal(argsFor(folder, { handler: { id: "video/none" } }))).message).toMatch(
      /there is no file .*handlers\/video\/none\.ts/,
    );
  });

  it("a native module that was not named in install", async () => {
    const folder = await project("native", {
      "transform.ts": `import native from "./addon.node"; export const handler = async () => native;`,
      "addon.node": "",
    });
    expect((await refusal(argsFor(folder))).message).toContain("name it in install");
  });
});

it("a project that moves keeps its hashes", async () => {
  const folder = await project("moving/a", { "transform.ts": "export const handler = async () => 1;" });
  const { hash } = await bundle(argsFor(folder));
  await cp(folder, join(root, "moved"), { recursive: true });
  expect((await bundle(argsFor(join(root, "moved")))).hash).toBe(hash);
});
