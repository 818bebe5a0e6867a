import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EvaluateArgs, evaluate, ProgramError } from "../../lib/program/evaluate.ts";
import { formatProblem } from "../../lib/shared/problem.ts";

let root: string;
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "program-")));
  await mkdir(join(root, "node_modules"));
  await symlink(resolve("node_modules/@pulumi"), join(root, "node_modules", "@pulumi"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const LIBRARY = resolve("lib/index.ts");
const LOCAL = resolve("lib/clouds/local/index.ts");
const IMPORTS = `import { AsyncTask, code } from ${JSON.stringify(LIBRARY)}; import { local } from ${JSON.stringify(LOCAL)};
import * as pulumi from "@pulumi/pulumi";
`;
const MODULE = { "package.json": `{"type":"module"}`, "work.ts": "export const handler = async () => 1;" };
const TASK = `new AsyncTask("resize", { cloud: local(), handler: code(new URL("./work.ts", import.meta.url)) });`;

let count = 0;
async function program(files: Readonly<Record<string, string>>): Promise<string> {
  count += 1;
  const folder = join(root, `p${count}`);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

const read = (folder: string, args: Partial<EvaluateArgs> = {}) => evaluate({ folder, print: () => {}, ...args });
const failure = async (folder: string, args: Partial<EvaluateArgs> = {}): Promise<ProgramError> => {
  const error = await read(folder, args).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(ProgramError);
  return error as ProgramError;
};

describe("evaluate", () => {
  it.concurrent("reads the plan of an ES module in TypeScript, with project, stack, outputs and inputs", async () => {
    const folder = await program({
      ...MODULE,
      "Pulumi.yaml": "name: media\nruntime: nodejs\nmain: stacks/\n",
      "stacks/index.ts": `${IMPORTS}import { name } from "../name.ts";
        const cloud = local();
        const task = new AsyncTask(name, { cloud, handler: code(new URL("../work.ts", import.meta.url)) });
        export const millrace = cloud.output;
        export const made = task; export const where = process.cwd();
        export const later = Promise.resolve({ id: task.runs.id, big: 5n }); export const password = pulumi.secret("x");`,
      "name.ts": `export const name: string = "resize";`,
    });
    const { plan, outputs, problems, warnings, inputs } = await read(folder);
    expect(plan).toMatchObject({
      version: 1,
      project: "media",
      stack: "dev",
      clouds: [{ name: "local", kind: "local" }],
    });
    expect(plan.constructs).toEqual([{ name: "resize", type: "AsyncTask", id: "resize", cloud: "local" }]);
    expect(plan.parts.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      "queue resize-failures",
      "function resize-task-work",
      "task resize-task",
      "function resize-task-dispatch",
      "monitor resize-alarms",
    ]);
    expect(plan.parts[1]).toMatchObject({ handler: { file: join(folder, "work.ts") } });
    expect(outputs).toMatchObject({
      millrace: { plan: { project: "media" }, addresses: { "resize-task": { name: "resize-task" } } },
      made: "millrace:constructs:AsyncTask::resize",
      where: join(folder, "stacks"),
      later: { id: "resize-task", big: "5" },
      password: "[secret]",
    });
    expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
    expect(inputs).toEqual(["name.ts", "stacks/index.ts", "Pulumi.yaml"].map((file) => join(folder, file)));
  });

  const TEMPLATE = `${IMPORTS}import { settings } from "./settings"; import sizes from "./sizes.json";
    enum Mode { Fast = "fast" }
    new AsyncTask(settings.name, { cloud: local(), handler: code(__dirname + "/work.ts"), settings: { mode: Mode.Fast, sizes } } as any);
    export const name = settings.name;`;
  it.concurrent.each([
    ["no type, as Pulumi's template makes them", "{}"],
    ['"type": "commonjs"', `{"type":"commonjs"}`],
  ])("reads a CommonJS program in TypeScript: %s", async (_, manifest) => {
    const folder = await program({
      ...MODULE,
      "package.json": manifest,
      "index.ts": TEMPLATE,
      "settings.ts": `export const settings = { name: "resize" };`,
      "sizes.json": "[1, 2]",
    });
    const { plan, outputs, inputs } = await read(folder);
    expect(plan.parts[1]).toMatchObject({
      handler: { file: join(folder, "work.ts") },
      settings: { mode: "fast", sizes: [1, 2] },
    });
    expect(outputs).toEqual({ name: "resize" });
    expect(inputs).toEqual(["index.ts", "settings.ts", "sizes.json"].map((file) => join(folder, file)));
  });

  it.concurrent.each([
    ["import.meta", TASK],
    [
      "an await at the top",
      `await Promise.resolve(); ${TASK.replace("import.meta.url", "'file://' + process.cwd() + '/'")}`,
    ],
  ])("reads a program without a type that only a module can be: %s", async (_, body) => {
    const folder = await program({ "work.ts": MODULE["work.ts"], "package.json": "{}", "index.ts": IMPORTS + body });
    expect((await read(folder)).plan.parts).toHaveLength(5);
  });

  it.concurrent("reads programs in JavaScript, of both kinds", async () => {
    const commonjs = `const { AsyncTask, code } = require(${JSON.stringify(LIBRARY)}); const { local } = require(${JSON.stringify(LOCAL)});
      new AsyncTask("resize", { cloud: local(), handler: code(__dirname + "/work.ts") }); exports.answer = 42;`;
    const first = await program({ "work.ts": MODULE["work.ts"], "index.js": commonjs });
    expect(await read(first)).toMatchObject({ outputs: { answer: 42 }, plan: { parts: { length: 5 } } });
    const bare = await program({ "work.ts": MODULE["work.ts"], "index.ts": commonjs });
    expect((await read(bare)).plan.parts).toHaveLength(5);
    const second = await program({ ...MODULE, "index.js": IMPORTS + TASK });
    expect((await read(second)).plan.parts).toHaveLength(5);
  });

  it.concurrent.each([
    ["an ES module", `{"type":"module"}`],
    ["CommonJS", "{}"],
  ])("calls and awaits a function exported as default: %s", async (_, manifest) => {
    const folder = await program({
      "package.json": manifest,
      "work.ts": MODULE["work.ts"],
      "index.ts": `${IMPORTS}export default async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        new AsyncTask("resize", { cloud: local(), handler: code(process.cwd() + "/work.ts") });
        return { answer: pulumi.output(42) };
      }`,
    });
    expect(await read(folder)).toMatchObject({ outputs: { answer: 42 }, plan: { parts: { length: 5 } } });
  });

  it.concurrent("gives raw resources a stub, and says so once for each", async () => {
    const folder = await program({
      ...MODULE,
      "index.ts": `${IMPORTS}${TASK}
        class RandomPassword extends pulumi.CustomResource {
          declare readonly length: pulumi.Output<number>;
          constructor(name: string, args: { length: number }) { super("random:index/randomPassword:RandomPassword", name, args); }
        }
        class Group extends pulumi.ComponentResource { constructor() { super("my:index:Group", "group"); } }
        new Group();
        const password = new RandomPassword("x", { length: 20 });
        export const answers = { length: password.length, id: password.id };
        password.id.apply((id) => new RandomPassword(id + "-next", { length: 1 }));`,
    });
    const { warnings, outputs } = await read(folder);
    expect(warnings).toEqual([
      'random:index/randomPassword:RandomPassword "x": a stub here; its outputs are its inputs',
      'random:index/randomPassword:RandomPassword "x-id-next": a stub here; its outputs are its inputs',
    ]);
    expect(outputs).toEqual({ answers: { length: 20, id: "x-id" } });
  });

  it.concurrent("gathers problems over all constructs, with files that are not there", async () => {
    const folder = await program({
      ...MODULE,
      "index.ts": `${IMPORTS}import { Construct } from ${JSON.stringify(LIBRARY)};
        class Picky extends Construct {
          constructor(name: string, args: any) { super("Picky", name, args); this.bucket("store"); this.build([{ path: name + ".size", message: "too much", given: 9, allowed: "up to 5" }]); }
        }
        const cloud = local();
        new Picky("one", { cloud }); new Picky("two", { cloud });
        new AsyncTask("lost", { cloud, handler: code(new URL("./gone.ts", import.meta.url)) });`,
    });
    const { problems, plan } = await read(folder);
    expect(problems.map(formatProblem)).toEqual([
      "one.size: too much (given 9; allowed: up to 5)",
      "two.size: too much (given 9; allowed: up to 5)",
      `lost-task-work.handler: there is no such file (given ${JSON.stringify(join(folder, "gone.ts"))})`,
    ]);
    expect(plan.parts).toHaveLength(7);
  });

  it.concurrent("keeps the problems when the program stumbles over what was refused", async () => {
    const folder = await program({
      ...MODULE,
      "index.ts": `${IMPORTS}import { Construct } from ${JSON.stringify(LIBRARY)};
        class Picky extends Construct {
          store; constructor(name: string, args: any) { super("Picky", name, args); this.store = this.bucket("store"); this.build([{ path: name, message: "no" }]); }
        }
        export const id = new Picky("one", { cloud: local() }).store.id;`,
    });
    const { problems, warnings } = await read(folder);
    expect(problems).toHaveLength(1);
    expect(warnings).toEqual([expect.stringMatching(/^not all was read: one-store: its outputs are there/)]);
  });

  it.concurrent("passes on what the program prints, and reads it all the same", async () => {
    const folder = await program({
      ...MODULE,
      "index.ts": `${IMPORTS}console.log('{"plan":'); console.error("careful"); process.stdout.write("tail"); ${TASK}`,
    });
    const texts: string[] = [];
    await read(folder, { print: (text) => texts.push(text) });
    const printed = texts.join("");
    expect(printed).toContain('{"plan":\n');
    expect(printed).toContain("careful");
    expect(printed).toContain("tail");
  });

  it.concurrent("does not wait for timers and servers of the program", async () => {
    const folder = await program({ ...MODULE, "index.ts": `${IMPORTS}setInterval(() => {}, 1000); ${TASK}` });
    expect((await read(folder)).plan.parts).toHaveLength(5);
  });

  it.concurrent("reads a hundred constructs", async () => {
    const folder = await program({
      ...MODULE,
      "index.ts": `${IMPORTS}const cloud = local();
        for (let n = 0; n < 100; n += 1) new AsyncTask("task-" + n, { cloud, handler: code(new URL("./work.ts", import.meta.url)) });
        export const millrace = cloud.output;`,
    });
    const { plan, outputs } = await read(folder);
    expect(plan.constructs).toHaveLength(100);
    expect(plan.parts).toHaveLength(500);
    expect(Object.keys((outputs.millrace as { addresses: object }).addresses)).toHaveLength(500);
  });
});

describe("configuration", () => {
  const FILES = {
    ...MODULE,
    "Pulumi.yaml": "name: media\nconfig:\n  media:region: { default: north }\n",
    "Pulumi.prod.yaml":
      "config:\n  media:region: south\n  media:dbPassword:\n    secure: v1:abc\n  media:login:\n    user: me\n    token: { secure: v1:def }\n",
    "index.ts": `${IMPORTS}${TASK}
      const config = new pulumi.Config(); const millrace = new pulumi.Config("millrace");
      export const region = config.require("region"); export const cloud = millrace.require("cloud");
      export const login = config.requireSecretObject<any>("login").apply(({ user }) => user);
      export const length = pulumi.unsecret(config.requireSecret("dbPassword").apply((value) => value.length));`,
  };

  it.concurrent("reaches the program, encrypted values from the environment", async () => {
    const folder = await program(FILES);
    const environment = { ...process.env, MILLRACE_CONFIG_MEDIA_DB_PASSWORD: "123" };
    const { outputs, warnings, inputs } = await read(folder, { stack: "prod", environment, cloud: "aws" });
    expect(outputs).toEqual({ region: "south", cloud: "aws", login: "[secret]", length: 3 });
    expect(warnings).toEqual([
      "media:login is encrypted: the program gets a placeholder; set MILLRACE_CONFIG_MEDIA_LOGIN to give it the value",
    ]);
    expect(inputs).toContain(join(folder, "Pulumi.prod.yaml"));
  });

  it.concurrent("says where a missing value may be written", async () => {
    const folder = await program(FILES);
    const { message } = await failure(folder, { stack: "dev" });
    expect(message).toContain("Missing required configuration variable 'media:login'");
    expect(message).toContain("Pulumi.<stack>.yaml");
  });
});

describe("a program that fails", () => {
  const failing = (body: string, files = {}) => program({ ...MODULE, ...files, "index.ts": IMPORTS + body });

  it.concurrent("by throwing: its message, and the lines of the stack that are the user's", async () => {
    const folder = await failing(
      `import { check } from "./check.ts";\nexport interface Shape { a: 1 }\n${TASK}\ncheck(undefined);`,
      {
        "check.ts": "export function check(value?: { deep: 1 }) {\n  return value!.deep;\n}",
      },
    );
    const error = await failure(folder);
    expect(error.message).toBe(
      [
        `${join(folder, "index.ts")} failed: TypeError: Cannot read properties of undefined (reading 'deep')`,
        `    at check (${join(folder, "check.ts")}:2:17)`,
        `    at ${join(folder, "index.ts")}:6:1`,
      ].join("\n"),
    );
    expect(error.inputs).toContain(join(folder, "check.ts"));
  });

  it.concurrent("by throwing in CommonJS: the lines of the source, not of what was made of it", async () => {
    const folder = await program({
      "package.json": "{}",
      "index.ts": `interface Shape {\n  a: 1;\n}\nenum A { B }\nfunction explode(shape?: Shape) {\n  throw new RangeError("boom");\n}\nexplode();`,
    });
    const { message } = await failure(folder);
    expect(message).toMatch(/failed: RangeError: boom\n {4}at explode \(.*index\.ts:6:9\)\n {4}at .*index\.ts:8:1/);
  });

  it.concurrent.each([
    [
      "an unhandled rejection",
      `Promise.reject(new Error("later")); await new Promise((r) => setTimeout(r, 500));`,
      /failed: later\n {4}at .*index\.ts:3:/,
    ],
    [
      "an apply",
      `${TASK} export const broken = pulumi.output(1).apply(() => { throw new Error("inside"); });`,
      /failed: inside\n/,
    ],
    ["something that is no error", `throw { code: 7 };`, /failed: it threw \{ code: 7 \}$/],
    [
      "process.exit",
      `${TASK} process.exit(3);`,
      /failed: it ends its own process: process\.exit\(3\)\n {4}at .*index\.ts:3:/,
    ],
    ["an await of what never comes", `await new Promise(() => {});`, /failed: it awaits something that never comes$/],
    [
      "a path that is relative",
      `code("./work.ts");`,
      /code: a file is given by URL or absolute path.*got "\.\/work\.ts"\n {4}at .*index\.ts:3:/s,
    ],
    [
      "a module that is not there",
      `import "./gone.ts";`,
      /failed: Cannot find module '.*gone\.ts' imported from .*index\.ts/,
    ],
    [
      "a syntax error in TypeScript",
      `const broken = = 2;`,
      /index\.ts:3:16: Unexpected "="\n {4}const broken = = 2;\n/,
    ],
    [
      "no cloud",
      `new AsyncTask("resize", { handler: code(new URL("./work.ts", import.meta.url)) });`,
      /resize\.cloud: name the cloud it runs on/,
    ],
    [
      "no construct",
      `export const nothing = 1;`,
      /index\.ts declares no Millrace part: make a construct such as AsyncTask/,
    ],
  ])("by %s", async (_, body, expected) => {
    const folder = await failing(body);
    const error = await failure(folder);
    expect(error.message).toMatch(expected);
    expect(error.message).not.toContain("node:internal");
    expect(error.message).not.toContain("node_modules");
    expect(error.inputs).toContain(join(folder, "index.ts"));
  });

  it.concurrent("by a syntax error in JavaScript", async () => {
    const folder = await program({ ...MODULE, "index.js": "const fine = 1;\nconst broken = = 2;" });
    expect((await failure(folder)).message).toMatch(/failed: .*index\.js:2:16: Unexpected "="\n/);
  });

  it.concurrent("by not ending: it is ended", async () => {
    const waiting = await failing("await new Promise((resolve) => setTimeout(resolve, 60_000));");
    const looping = await failing("for (;;);");
    const errors = await Promise.all([waiting, looping].map((folder) => failure(folder, { milliseconds: 3000 })));
    for (const { message } of errors)
      expect(message).toMatch(/index\.ts did not end within 3 seconds: it loops, or awaits/);
  });

  it.concurrent("by being killed", async () => {
    const folder = await failing(
      `process.kill(process.pid, "SIGTERM"); await new Promise((r) => setTimeout(r, 5000));`,
    );
    expect((await failure(folder)).message).toContain("index.ts ended before it was read (SIGTERM)");
  });
});
