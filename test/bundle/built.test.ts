import { mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Built, builtBefore } from "../../lib/bundle/built.ts";
import { type BundleArgs, bundle } from "../../lib/bundle/bundle.ts";

let root: string;
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "built-")));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function write(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

/** A folder with these files, older than whatever is built next by any file system's clock. */
async function project(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(root, name);
  await write(folder, files);
  for (const name of ["out", "new"]) await mkdir(join(folder, name));
  await pause(50);
  return folder;
}

const SOURCES = {
  "entry.mjs": "export const start = ({ handler, settings }) => console.log(JSON.stringify([handler(), settings]));",
  "src/work.ts": `import { part } from "./part"; import { used } from "used"; export const handler = () => [part, used];`,
  "src/part/index.ts": "export const part = 'ONE';",
  "node_modules/used/package.json": `{"name":"used","main":"main.js"}`,
  "node_modules/used/main.js": "exports.used = 'ONE';",
};

const argsFor = (folder: string, args: Partial<BundleArgs> = {}): BundleArgs => ({
  handler: { file: join(folder, "src/work.ts") },
  code: {},
  settings: {},
  entry: join(folder, "entry.mjs"),
  outdir: join(folder, "out"),
  builds: join(folder, "out/built"),
  install: [],
  target: "node24",
  ...args,
});

const textOf = async (args: BundleArgs): Promise<string> => readFile((await bundle(args)).file, "utf8");

/** Writes into all that is kept, so that whatever is made of it shows it. */
async function mark({ builds }: BundleArgs): Promise<void> {
  for (const key of await readdir(builds!)) {
    const file = join(builds!, key, "index.mjs");
    await writeFile(file, `${await readFile(file, "utf8")}\n// KEPT`);
  }
}

describe("a bundle that differs in settings alone", () => {
  it("is made of the same code, and is the one that would be made anew", async () => {
    const folder = await project("settings", SOURCES);
    const settings = { text: "\u2028 `$x` $& 中", __proto__: null, long: "x".repeat(10_000) };
    await bundle(argsFor(folder));
    const again = await bundle(argsFor(folder, { settings }));
    const { builds: _, ...anew } = argsFor(folder, { settings, outdir: join(folder, "new") });
    const other = await bundle(anew);
    expect(again.hash).toBe(other.hash);
    expect(again.inputs).toEqual(other.inputs);
    for (const suffix of ["", ".map"])
      expect(await readFile(again.file + suffix, "utf8")).toBe(await readFile(other.file + suffix, "utf8"));
    await mark(argsFor(folder));
    expect(await textOf(argsFor(folder, { settings: { other: true } }))).toContain("// KEPT");
  });

  it("is made of its own code where anything else differs", async () => {
    const folder = await project("others", { ...SOURCES, "src/other.ts": "export const handler = () => 'OTHER';" });
    const args = argsFor(folder);
    await bundle(args);
    await mark(args);
    const others: Partial<BundleArgs>[] = [
      { handler: { file: join(folder, "src/other.ts") } },
      { code: { more: { file: join(folder, "src/other.ts") } } },
      { entry: join(folder, "src/../entry.mjs"), exports: "handler" },
      { install: ["used"] },
      { target: "node20" },
      { outdir: join(folder, "out/deeper/down") },
      { ports: { store: join(folder, "src/other.ts") } },
    ];
    for (const other of others) expect(await textOf({ ...args, ...other })).not.toContain("// KEPT");
    expect(await textOf(args)).toContain("// KEPT");
  });
});

describe("a bundle is made anew", () => {
  const changes: Readonly<Record<string, (folder: string) => Promise<unknown>>> = {
    "when the handler is another": (folder) =>
      writeFile(join(folder, "src/work.ts"), "export const handler = () => 'TWO';"),
    "when a package is another, of the same size and time": async (folder) => {
      const file = join(folder, "node_modules/used/main.js");
      const time = new Date("1985-10-26T08:15:00Z");
      await writeFile(`${file}.new`, "exports.used = 'TWO';");
      await utimes(`${file}.new`, time, time);
      await rename(`${file}.new`, file);
    },
    "when a package says that its code is in another file": (folder) =>
      write(folder, {
        "node_modules/used/package.json": `{"name":"used","main":"deep/two.js"}`,
        "node_modules/used/deep/two.js": "exports.used = 'TWO';",
      }),
    "when an import means another file than before": (folder) =>
      writeFile(join(folder, "src/part.ts"), "export const part = 'TWO';"),
    "when a package has come nearer": (folder) =>
      write(folder, {
        "src/node_modules/used/package.json": `{"name":"used","main":"main.js"}`,
        "src/node_modules/used/main.js": "exports.used = 'TWO';",
      }),
    "when a link leads to another package": async (folder) => {
      await write(folder, { "store/used/index.js": "exports.used = 'TWO';" });
      await rm(join(folder, "node_modules/used"), { recursive: true });
      await symlink(join(folder, "store/used"), join(folder, "node_modules/used"));
    },
    "when TypeScript's settings lead elsewhere": (folder) =>
      write(folder, {
        "src/two.ts": "export const used = 'TWO';",
        "src/tsconfig.json": `{"compilerOptions":{"paths":{"used":["./two.ts"]}}}`,
      }),
    "when what TypeScript's settings extend leads elsewhere": (folder) =>
      write(folder, { "config/base.json": `{"compilerOptions":{"paths":{"used":["./two.ts"]}}}` }),
  };
  it.each(Object.entries(changes))("%s", async (name, change) => {
    const folder = await project(name.replaceAll(/\W/g, "-"), {
      ...SOURCES,
      "tsconfig.json": `{ /* one */ "extends": ["./config/base"] }`,
      "config/base.json": "{}",
      "config/two.ts": "export const used = 'TWO';",
    });
    expect(await textOf(argsFor(folder))).not.toContain("TWO");
    await change(folder);
    expect(await textOf(argsFor(folder))).toContain("TWO");
    await mark(argsFor(folder));
    expect(await textOf(argsFor(folder))).toContain("TWO");
  });
});

describe("what is built", () => {
  const built = (js: string, ...files: string[]): Built => ({ js: Buffer.from(js), map: Buffer.from("{}"), files });
  const js = async (answer: Promise<Built>) => Buffer.from((await answer).js).toString();

  it("is built once for all who ask meanwhile", async () => {
    const folder = await project("meanwhile", { "a.ts": "" });
    let times = 0;
    const make = async () => {
      times += 1;
      await pause(20);
      return built("one", join(folder, "a.ts"));
    };
    const answers = [1, 2, 3, 4].map(() => builtBefore(join(folder, "out"), "key", make));
    expect(await Promise.all(answers.map(js))).toEqual(["one", "one", "one", "one"]);
    expect(times).toBe(1);
    expect(await readdir(join(folder, "out"))).toEqual(["key"]);
  });

  it("is not kept if a file was changed while it was built", async () => {
    const folder = await project("edited", { "a.ts": "" });
    const file = join(folder, "a.ts");
    const slow = builtBefore(join(folder, "out"), "key", async () => {
      const before = built("old", file);
      await writeFile(file, "new");
      return before;
    });
    const waiting = builtBefore(join(folder, "out"), "key", async () => built("new", file));
    expect([await js(slow), await js(waiting)]).toEqual(["old", "new"]);
  });

  it("is tried again after a failure, which only its caller is told, and which leaves nothing", async () => {
    const folder = await project("failing", { "a.ts": "" });
    const fails = builtBefore(join(folder, "out"), "key", () => Promise.reject(new Error("broken")));
    const next = builtBefore(join(folder, "out"), "key", async () => built("one", join(folder, "a.ts")));
    await expect(fails).rejects.toThrow("broken");
    expect(await js(next)).toBe("one");
    expect(await readdir(join(folder, "out"))).toEqual(["key"]);
  });

  it("is made anew where what was kept is torn", async () => {
    const folder = await project("torn", { "a.ts": "" });
    const make = async () => built("one", join(folder, "a.ts"));
    await builtBefore(join(folder, "out"), "key", make);
    for (const file of ["origin.json", "index.mjs.map"]) {
      await rm(join(folder, "out/key", file));
      expect(await js(builtBefore(join(folder, "out"), "key", make))).toBe("one");
      expect(await readdir(join(folder, "out/key"))).toHaveLength(3);
    }
  });
});
