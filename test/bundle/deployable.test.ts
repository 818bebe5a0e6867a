import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { unzipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { type ArchivedFile, archive } from "../../lib/bundle/archive.ts";
import { type DeployableArgs, deployable } from "../../lib/bundle/deployable.ts";

let root: string;
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "deployable-")));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function project(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(root, name);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

const SOURCES = {
  "work.ts": "export const handler = async (event: number, { links }: any) => [event, await links.store.name()];",
  "entry.mjs": `export const start = ({ handler, ports }) => async (event) => {
    const { port } = await ports["a store"]();
    return handler(event, { links: { store: port() } });
  };`,
  "port.mjs": `globalThis.loaded = (globalThis.loaded ?? 0) + 1; export const port = () => ({ name: async () => "store" });`,
};

const argsFor = (folder: string): DeployableArgs => ({
  handler: { file: join(folder, "work.ts") },
  code: {},
  settings: {},
  entry: join(folder, "entry.mjs"),
  ports: { "a store": join(folder, "port.mjs") },
  exports: "handler",
  outdir: join(folder, "out"),
  install: [],
  target: "node20",
  machine: { os: "linux", cpu: "x64", libc: "glibc" },
});

describe("deployable", () => {
  it("exports what the platform calls, and loads a port when it is asked for", async () => {
    const { file } = await deployable(argsFor(await project("ports", SOURCES)));
    const files = unzipSync(await readFile(file));
    expect(Object.keys(files)).toEqual(["index.mjs", "index.mjs.map"]);
    const texts = Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString()]);
    const unpacked = await project("unpacked", Object.fromEntries(texts));
    const { handler } = (await import(pathToFileURL(join(unpacked, "index.mjs")).href)) as {
      handler: (event: number) => Promise<unknown>;
    };
    const scope = globalThis as { loaded?: number };
    expect(scope.loaded).toBeUndefined();
    expect(await handler(7)).toEqual([7, "store"]);
    expect(scope.loaded).toBe(1);
  });

  it("is named by its content: another folder changes nothing, another line does", async () => {
    const [one, other] = await Promise.all(
      ["one", "two/deep"].map(async (name) => deployable(argsFor(await project(name, SOURCES)))),
    );
    expect(one!.hash).toBe(other!.hash);
    expect(Buffer.compare(await readFile(one!.file), await readFile(other!.file))).toBe(0);
    const changed = { ...SOURCES, "work.ts": `${SOURCES["work.ts"]} export const more = console.log("x");` };
    expect((await deployable(argsFor(await project("changed", changed)))).hash).not.toBe(one!.hash);
  });
});

describe("packages that cannot be bundled", () => {
  it("are installed beside the bundle, in the version the user has", async () => {
    const outside = fileURLToPath(new URL("../clouds/alicloud/functions/echo.ts", import.meta.url));
    const folder = await project("installing", SOURCES);
    const { file } = await deployable({ ...argsFor(folder), handler: { file: outside }, install: ["picocolors"] });
    const files = unzipSync(await readFile(file));
    expect(Object.keys(files)).toContain("node_modules/picocolors/picocolors.js");
    const manifest = Buffer.from(files["node_modules/picocolors/package.json"]!).toString();
    const own = new URL("../../node_modules/picocolors/package.json", import.meta.url);
    expect(JSON.parse(manifest)).toMatchObject({ version: JSON.parse(await readFile(own, "utf8")).version });
  });

  it("are installed once for all that want the same", async () => {
    const folder = await project("kept", SOURCES);
    const handler = { file: fileURLToPath(new URL("../clouds/alicloud/functions/echo.ts", import.meta.url)) };
    const wanted = { ...argsFor(folder), handler, install: ["picocolors"] };
    const { hash } = await deployable(wanted);
    vi.stubEnv("PATH", "");
    onTestFinished(() => void vi.unstubAllEnvs());
    expect((await deployable(wanted)).hash).toBe(hash);
    const machine = { ...wanted.machine, cpu: "arm64" } as const;
    await expect(deployable({ ...wanted, machine })).rejects.toThrow(/picocolors could not be installed/);
    expect(await readdir(join(wanted.outdir, "packages"))).toHaveLength(1);
  });

  it("are named when npm has none such", async () => {
    const folder = await project("missing", SOURCES);
    await expect(deployable({ ...argsFor(folder), install: ["not-installed"] })).rejects.toThrow(/"not-installed"/);
  });
});

describe("archive", () => {
  it("is made once for all who want the same at the same time", async () => {
    const wanted = () => archive({ "index.mjs": { bytes: Buffer.alloc(2_000_000, "code") } }, join(root, "zip-0"));
    const made = await Promise.all([wanted(), wanted(), wanted(), wanted()]);
    expect(new Set(made.map(({ file }) => file)).size).toBe(1);
    expect(await readdir(join(root, "zip-0"))).toHaveLength(1);
  });

  const files = (names: readonly string[]): Record<string, ArchivedFile> =>
    Object.fromEntries(names.map((name) => [name, { bytes: Buffer.from(name), executable: name.startsWith("bin/") }]));

  it("has the same bytes whatever the order of the files and the machine's time zone", async () => {
    const one = await archive(files(["bin/tool", "猫.txt", "a/b"]), join(root, "zip-1"));
    const zone = process.env.TZ;
    process.env.TZ = "Pacific/Kiritimati";
    const other = await archive(files(["a/b", "猫.txt", "bin/tool"]), join(root, "zip-2")).finally(() => {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    });
    expect(other.hash).toBe(one.hash);
    expect(Buffer.compare(await readFile(one.file), await readFile(other.file))).toBe(0);
  });

  it("keeps what is executable so, as other tools see it", async () => {
    const { file } = await archive(files(["bin/tool", "readme"]), join(root, "zip-3"));
    const script =
      "import sys,zipfile\nfor i in zipfile.ZipFile(sys.argv[1]).infolist(): print(i.filename, oct(i.external_attr >> 16))";
    const listing = execFileSync("python3", ["-c", script, file]).toString();
    expect(listing.trim().split("\n")).toEqual(["bin/tool 0o100755", "readme 0o100644"]);
  });
});
