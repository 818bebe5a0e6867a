import { cpSync, readdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tools } from "../media.ts";
import {
  findNode,
  install,
  installedVersion,
  makeWorkspace,
  pack,
  ROOT,
  run,
  startDev,
  type Tarball,
  write,
} from "../package/package.ts";

/** The projects declare a pipeline that wants them. */
const FFMPEG = { MILLRACE_FFMPEG: tools.ffmpeg, MILLRACE_FFPROBE: tools.ffprobe };

const workspace = makeWorkspace();
const commonJs = join(workspace.folder, "commonjs");
const modules = join(workspace.folder, "modules");
const backend = join(workspace.folder, "backend");
const node20 = findNode(20);
/** The CLI runs on it, and on this one. */
const oldestNode = process.env.MILLRACE_OLDEST_NODE ?? process.execPath;
let tarball: Tarball;

beforeAll(async () => {
  tarball = await pack(workspace.folder);
  const dependencies = { millrace: `file:${tarball.file}`, "@pulumi/pulumi": installedVersion("@pulumi/pulumi") };
  const devDependencies = { "@types/node": installedVersion("@types/node"), typescript: "~5.9.3" };
  write(commonJs, { ...COMMONJS, "package.json": { name: "shop", main: "index.ts", dependencies, devDependencies } });
  await install(commonJs);
  write(modules, { ...MODULES, "package.json": { name: "shop", type: "module", dependencies, devDependencies } });
  cpSync(join(commonJs, "node_modules"), join(modules, "node_modules"), { recursive: true, verbatimSymlinks: true });
  write(backend, {
    "package.json": { name: "backend", type: "module", dependencies: { millrace: dependencies.millrace } },
    "main.js": BACKEND,
  });
  await install(backend, "--omit=peer");
});

afterAll(() => workspace.remove());

const HANDLER = `
import type { Context, FunctionInvoked } from "millrace/handler";

export async function handler({ payload }: FunctionInvoked<{ readonly name: string }>, { run, log }: Context) {
  log.info("greeting", { name: payload.name });
  run.progress(1, "greeted");
  return { greeting: \`hello \${payload.name}\` };
}
`;

/** As Pulumi's own template for TypeScript has it, but for the program. https://github.com/pulumi/templates/tree/master/typescript */
const COMMONJS = {
  "Pulumi.yaml": "name: shop\nruntime: nodejs\n",
  "tsconfig.json": {
    compilerOptions: {
      strict: true,
      outDir: "bin",
      target: "es2020",
      module: "nodenext",
      moduleResolution: "nodenext",
      types: ["node"],
      sourceMap: true,
      experimentalDecorators: true,
      pretty: true,
      noFallthroughCasesInSwitch: true,
      noImplicitReturns: true,
      forceConsistentCasingInFileNames: true,
    },
    files: ["index.ts", "mocked.ts"],
  },
  "greet.ts": HANDLER,
  "index.ts": `
import { join } from "node:path";
import { AsyncTask, code, VideoTranscodePipeline } from "millrace";
import { taskClient } from "millrace/client";
import { local } from "millrace/local";

const cloud = local();
const handler = code<typeof import("./greet")>(join(__dirname, "greet.ts"));

export const greetings = new AsyncTask("greetings", { cloud, handler }).failures.address;
export const uploads = new VideoTranscodePipeline("videos", { cloud, formats: ["mp4", "m3u8"] }).uploads.address;
export const backend: typeof taskClient = taskClient;
export const millrace = cloud.output;
`,
  "mocked.ts": mocked('require("./index")', "Promise.resolve"),
};

const MODULES = {
  "Pulumi.yaml": "name: shop\nruntime: nodejs\n",
  "tsconfig.json": {
    compilerOptions: {
      strict: true,
      target: "es2023",
      module: "nodenext",
      types: ["node"],
      noEmit: true,
      exactOptionalPropertyTypes: true,
      verbatimModuleSyntax: true,
      allowImportingTsExtensions: true,
    },
    files: ["index.ts", "mocked.ts", "testing.ts"],
  },
  "greet.ts": HANDLER,
  "index.ts": `
import { AsyncTask, code, VideoTranscodePipeline } from "millrace";
import { local } from "millrace/local";

const cloud = local();
const handler = code<typeof import("./greet.ts")>(new URL("./greet.ts", import.meta.url));

export const greetings = new AsyncTask("greetings", { cloud, handler }).failures.address;
export const uploads = new VideoTranscodePipeline("videos", { cloud, formats: ["mp4", "m3u8"] }).uploads.address;
export const millrace = cloud.output;
`,
  "mocked.ts": mocked('import("./index.ts")', ""),
  "testing.ts": `
import { startLocal } from "millrace/testing";

const cloud = await startLocal({ project: import.meta.dirname, clock: "virtual" });
const { id } = await cloud.tasks.submit("greetings-task", { name: "Ada" });
await cloud.idle();
console.log((await cloud.tasks.get("greetings-task", id))?.status);
await cloud.close();
`,
};

/** A user's own unit test of a stack: Pulumi's mocks, and the types of what was registered, printed. */
function mocked(load: string, lift: string): string {
  return `
import * as pulumi from "@pulumi/pulumi";

const registered: string[] = [];
const mocks: pulumi.runtime.Mocks = {
  newResource: ({ type, name, inputs }) => {
    registered.push(type + " " + name);
    return { id: name + "-id", state: inputs };
  },
  call: ({ inputs }) => inputs,
};

async function main(): Promise<void> {
  await pulumi.runtime.setMocks(mocks, "shop", "dev", false);
  await ${lift ? `${lift}(${load})` : load};
  await new Promise((resolve) => setTimeout(resolve, 200));
  console.log(registered.sort().join("\\n"));
}

main();
`;
}

const BACKEND = `
import { isFinal, MillraceError, taskClient } from "millrace/client";

const client = taskClient({ local: ".millrace" });
const refused = await client.submit("greetings-task", { name: "Ada" }).catch((error) => error);
console.log(JSON.stringify([refused instanceof MillraceError, refused.kind, isFinal("succeeded")]));
`;

const typeCheck = (folder: string, typescript: string, ...flags: readonly string[]) =>
  run(
    process.execPath,
    [join(typescript, "node_modules/typescript/bin/tsc"), "-p", ".", "--pretty", "false", ...flags],
    {
      cwd: folder,
    },
  );
const millraceOf = (folder: string): string => join(folder, "node_modules/.bin/millrace");
const binOf = (folder: string): string => join(folder, "node_modules/millrace/bin/millrace.js");

describe("the tarball", () => {
  test("holds what runs, and nothing of how it was made", () => {
    const strangers = tarball.files.filter(
      (path) => !/^(bin\/.*\.js|dist\/.*\.(js|d\.ts)|docs\/.*|README\.md|LICENSE|package\.json)$/.test(path),
    );
    expect(strangers).toEqual([]);
    expect(
      tarball.files.filter((path) => /test\b|fixture|\.map$|tsbuildinfo/.test(path.replace("dist/testing/", ""))),
    ).toEqual([]);
    console.log(`millrace.tgz: ${tarball.files.length} files, ${Math.round(tarball.size / 1024)} KB`);
    expect(tarball.size).toBeLessThan(1024 ** 2);
  });

  test("names no folder of this machine, and no map that is not there", () => {
    const machine = [ROOT.replace(/\/$/, ""), workspace.folder, ...(homedir() === "/" ? [] : [`${homedir()}/`])];
    const found = tarball.files.flatMap((path) => {
      const text = readFileSync(join(tarball.folder, path), "utf8");
      return [...machine, "sourceMappingURL=i", "sourceMappingURL=m"]
        .filter((word) => text.includes(word))
        .map((word) => `${path}: ${word}`);
    });
    expect(found).toEqual([]);
  });

  test("has every file that its package.json names", () => {
    const { exports, bin, main, types, typesVersions } = JSON.parse(
      readFileSync(join(tarball.folder, "package.json"), "utf8"),
    ) as Record<string, unknown>;
    const named = JSON.stringify([exports, bin, main, types, typesVersions]).match(/(?<=")\.\/[^"]+\.[a-z]+(?=")/g)!;
    expect(named.length).toBeGreaterThan(10);
    expect(named.map((path) => path.slice(2)).filter((path) => !tarball.files.includes(path))).toEqual([]);
  });
});

describe("a CommonJS project, as Pulumi's template makes it", () => {
  test.each([
    ["as it is", []],
    ["with the settings of older templates", ["--module", "commonjs", "--moduleResolution", "node10"]],
  ])(
    "type-checks on TypeScript 5.9, %s",
    async (_title, flags) => {
      await typeCheck(commonJs, commonJs, "--noEmit", ...flags);
    },
    60_000,
  );

  test("type-checks on TypeScript 6, and a mistake in it does not", async () => {
    await typeCheck(commonJs, ROOT, "--noEmit", "--module", "commonjs", "--moduleResolution", "bundler");
    const wrong = write(join(workspace.folder, "commonjs/wrong"), {
      "index.ts":
        'import { VideoTranscodePipeline } from "millrace";\nnew VideoTranscodePipeline("v", { formats: ["mp5"] });\n',
      "tsconfig.json": { extends: "../tsconfig.json", files: ["index.ts"] },
    });
    await expect(typeCheck(wrong, ROOT, "--noEmit")).rejects.toThrow(/"mp5"/);
  });

  test("compiles, and registers its resources under Pulumi's mocks", async () => {
    await typeCheck(commonJs, commonJs);
    const nodes = [process.execPath, ...(node20 ? [node20] : [])];
    for (const node of nodes) {
      const { stdout, stderr } = await run(node, ["bin/mocked.js"], { cwd: commonJs });
      expect(stdout).toContain("millrace:constructs:VideoTranscodePipeline videos");
      expect(stderr.replace(/.*(ExperimentalWarning|--trace-warnings).*\n/g, "")).toBe("");
    }
  });

  test.each([process.execPath, oldestNode])("synthesizes (%s)", async (node) => {
    const { stdout } = await run(node, [binOf(commonJs), "synth", "--json"], { cwd: commonJs });
    const { plan, problems, warnings } = JSON.parse(stdout);
    expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
    expect(plan.constructs.map(({ name }: { name: string }) => name)).toEqual(["greetings", "videos"]);
  });
});

describe("an ESM project", () => {
  test.each([
    ["NodeNext", []],
    ["a bundler's resolution", ["--module", "preserve", "--moduleResolution", "bundler"]],
  ])(
    "type-checks on TypeScript 6 with %s",
    async (_title, flags) => {
      await typeCheck(modules, ROOT, ...flags);
    },
    60_000,
  );

  test("registers its resources under Pulumi's mocks", async () => {
    const { stdout } = await run(process.execPath, ["mocked.ts"], { cwd: modules });
    expect(stdout).toContain("millrace:constructs:AsyncTask greetings");
  });

  test("synthesizes, to the same plan as the CommonJS one but for its folder", async () => {
    const [plan, other] = await Promise.all(
      [modules, commonJs].map(async (cwd) => {
        const { stdout } = await run(millraceOf(cwd), ["synth", "--json"], { cwd });
        return JSON.parse(stdout.replaceAll(cwd, "")).plan;
      }),
    );
    expect(plan).toEqual(other);
  });

  test("runs its own tests on millrace/testing", async () => {
    const { stdout } = await run(process.execPath, ["testing.ts"], { cwd: modules, env: FFMPEG });
    expect(stdout).toBe("succeeded\n");
  });
});

describe("millrace from the package", () => {
  test("says its version and its verbs", async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
    expect((await run(millraceOf(modules), ["--version"], { cwd: modules })).stdout).toBe(`${version}\n`);
    expect((await run("npx", ["millrace", "--help"], { cwd: modules })).stdout).toContain("Usage: millrace");
  });

  test.each([process.execPath, oldestNode])(
    "dev runs a task from submit to result, and ends on Ctrl-C (%s)",
    async (node) => {
      const dev = await startDev([node, binOf(commonJs)], { cwd: commonJs, env: FFMPEG });
      try {
        const name = node === process.execPath ? "Ada" : "Grace";
        const submit = ["tasks", "submit", "greetings", JSON.stringify({ name }), "--wait", "--json"];
        const { stdout } = await run(node, [binOf(commonJs), ...submit], { cwd: commonJs });
        const { id, status } = JSON.parse(stdout);
        expect(status).toBe("succeeded");
        const get = ["tasks", "get", "greetings", id, "--json"];
        expect((await run(node, [binOf(commonJs), ...get], { cwd: commonJs })).stdout).toContain(`hello ${name}`);
      } finally {
        expect(await dev.interrupt()).toBe(0);
      }
    },
  );

  test.skipIf(!node20)(
    `says so where Node is too old${node20 ? "" : " (skipped: no Node 20 on the PATH)"}`,
    async () => {
      const { stderr } = await run(node20!, [binOf(modules), "dev"], {
        cwd: modules,
        code: 1,
      });
      expect(stderr).toMatch(/^millrace needs Node 22\.15 or newer, .*\n$/);
    },
  );
});

describe("millrace/client in a backend without Pulumi", () => {
  test("is installed without it", () => {
    expect(readdirSync(join(backend, "node_modules"))).not.toContain("@pulumi");
  });

  const nodes = [
    { title: "this Node", node: process.execPath },
    ...(node20 ? [{ title: "Node 20", node: node20 }] : []),
  ];
  test.each(nodes)("works on $title", async ({ node }) => {
    const { stdout } = await run(node, ["main.js"], { cwd: backend });
    expect(JSON.parse(stdout)).toEqual([true, "unavailable", true]);
  });

  test("answers to require", async () => {
    const script = 'console.log(typeof require("millrace/client").taskClient)';
    expect((await run(node20 ?? process.execPath, ["-e", script], { cwd: backend })).stdout).toBe("function\n");
  });
});
