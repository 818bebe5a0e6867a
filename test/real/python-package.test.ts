import { execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { unzipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Archive } from "../../lib/bundle/archive.ts";
import { type PythonTarget, pythonArchive } from "../../lib/bundle/python.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { sidecar } from "../../lib/runtime/sidecar.ts";
import { PYTHON_FOLDER, PYTHON_LIBRARIES, PYTHON_SERVER } from "../../lib/shared/program/python.ts";
import { pythonPackage } from "./install/python-package.ts";

const X64: PythonTarget = { version: "3.12", cpu: "x64" };
const ARM64: PythonTarget = { version: "3.13", cpu: "arm64" };
const { PATH = "" } = process.env;

let home: string;
let uv: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-python-package-"));
  uv = join(await pythonPackage("uv==0.13.8"), "bin");
});
afterAll(async () => {
  process.env.PATH = PATH;
  await rm(home, { recursive: true, force: true });
});

function folderWith(name: string, requirements: string, code = "def rows(x): return x"): string {
  const folder = join(home, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "requirements.txt"), requirements);
  writeFileSync(join(folder, "clean.py"), code);
  return folder;
}

/** The machine's pip, or uv before it on the path. */
function use(installer: "pip" | "uv"): void {
  const others = PATH.split(delimiter).filter((folder) => !existsSync(join(folder, "uv")));
  process.env.PATH = [...(installer === "uv" ? [uv] : []), ...others].join(delimiter);
}

const pack = (folder: string, target: PythonTarget, out: string): Promise<Archive> =>
  pythonArchive({ python: { folder, entry: "clean:rows" }, target, called: "bytes", outdir: join(home, out) });

function unpack(file: string, name: string): string {
  const folder = join(home, name);
  for (const [path, bytes] of Object.entries(unzipSync(readFileSync(file)))) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  return folder;
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });

const filesOf = ({ file }: Archive): Readonly<Record<string, Uint8Array>> => unzipSync(readFileSync(file));

/** Of an ELF file: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html */
const machineOf = (library: Uint8Array): number => Buffer.from(library).readUInt16LE(18);
const X86_64 = 62;
const AARCH64 = 183;

describe.each(["pip", "uv"] as const)("by %s", (installer) => {
  beforeAll(() => use(installer));

  test.each([
    [X64, "cpython-312-x86_64", X86_64],
    [ARM64, "cpython-313-aarch64", AARCH64],
  ] as const)("libraries are those of the platform: %o", async (target, abi, machine) => {
    const folder = folderWith(`native-${installer}`, "orjson\n");
    const made = await pack(folder, target, `native-${installer}-out`);
    const files = filesOf(made);
    const native = Object.keys(files).filter((name) => name.endsWith(".so"));
    expect(native).toEqual([`libraries/orjson/orjson.${abi}-linux-gnu.so`]);
    expect(machineOf(files[native[0]!]!)).toBe(machine);
  });

  test("nothing of this machine is in the zip, and it is the same bytes when it is installed again", async () => {
    const folder = folderWith(`plain-${installer}`, "charset-normalizer==3.4.2\n");
    const one = await pack(folder, X64, `one-${installer}`);
    const two = await pack(folder, X64, `two-${installer}`);
    expect(readFileSync(two.file).equals(readFileSync(one.file))).toBe(true);
    const files = filesOf(one);
    expect(Object.keys(files)).toContain("libraries/charset_normalizer/__init__.py");
    expect(Object.keys(files)).toContain("libraries/charset_normalizer-3.4.2.dist-info/METADATA");
    expect(Object.keys(files).filter((name) => /\/bin\/|RECORD|INSTALLER|__pycache__|\.lock$/.test(name))).toEqual([]);
    const foreign = Object.entries(files).filter(([, bytes]) =>
      [home, dirname(process.execPath)].some((path) => Buffer.from(bytes).includes(path)),
    );
    expect(foreign.map(([name]) => name)).toEqual([]);
  });

  test("a package without a wheel is refused by its name, and nothing is left behind", async () => {
    const folder = folderWith(`source-${installer}`, "docopt==0.6.2\n");
    await expect(pack(folder, X64, `source-${installer}`)).rejects.toThrow(
      /of docopt(==0\.6\.2)? there is no wheel for Python 3\.12 on Linux, x86_64, and nothing is compiled here/,
    );
    expect(readdirSync(join(home, `source-${installer}`, "python"))).toEqual([]);
    expect(existsSync(join(home, `source-${installer}`, "zip"))).toBe(false);
  });

  test("a wrong hash is refused, and the right one taken", async () => {
    const wrong = folderWith(`wrong-${installer}`, `idna==3.10 --hash=sha256:${"0".repeat(64)}\n`);
    await expect(pack(wrong, X64, `hash-${installer}`)).rejects.toThrow(/hash/i);
    const known = "946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3";
    const right = folderWith(`right-${installer}`, `idna==3.10 --hash=sha256:${known}\n`);
    expect(Object.keys(filesOf(await pack(right, X64, `hash-${installer}`)))).toContain("libraries/idna/__init__.py");
  });
});

test("what is installed once is not installed again, whatever the code becomes", async () => {
  use("pip");
  const folder = folderWith("kept", "idna==3.10\n");
  const one = await pack(folder, X64, "kept");
  process.env.PATH = "";
  writeFileSync(join(folder, "clean.py"), "def rows(x): return [x]");
  const two = await pack(folder, X64, "kept");
  expect(two.hash).not.toBe(one.hash);
  await expect(pack(folder, ARM64, "kept")).rejects.toThrow("neither uv nor python3 is on this machine");
  use("pip");
});

const CODE = `
import idna, json, pathlib

def rows(payload):
    if not isinstance(payload, dict):
        return payload
    if "fail" in payload:
        raise ValueError(payload["fail"])
    if "nan" in payload:
        return float("nan")
    words = json.loads(pathlib.Path(__file__).with_name("words.json").read_text())
    return {"name": idna.encode(payload["name"]).decode(), "words": words}
`;

/** As the two services call it: with the bytes of a payload, or with the payload itself. */
const CALL = {
  bytes: "result = millrace_handler.handler(sys.argv[1].encode(), None); print(result)",
  value: "result = millrace_handler.handler(json.loads(sys.argv[1]), None); print(json.dumps(result))",
} as const;

describe.each(["bytes", "value"] as const)("a platform that gives a payload as its %s", (called) => {
  let unpacked: string;
  beforeAll(async () => {
    use("pip");
    const folder = folderWith("called", "idna==3.10\n", CODE);
    writeFileSync(join(folder, "words.json"), '["é"]');
    const { file } = await pythonArchive({
      python: { folder, entry: "clean:rows" },
      target: X64,
      called,
      outdir: join(home, "called-out"),
    });
    unpacked = unpack(file, `unpacked-${called}`);
  });

  const call = (payload: unknown) =>
    promisify(execFile)(
      "python3",
      ["-c", `import json, sys, millrace_handler; ${CALL[called]}`, JSON.stringify(payload)],
      { cwd: home, env: { PATH, PYTHONPATH: unpacked, PYTHONDONTWRITEBYTECODE: "1" } },
    );

  test("calls the function with its libraries and its files", async () => {
    const { stdout } = await call({ name: "bücher.example" });
    expect(JSON.parse(stdout)).toEqual({ name: "xn--bcher-kva.example", words: ["é"] });
  });

  test.each([null, "text", 5, ["a"], true])("a payload of %o is one too", async (payload) => {
    expect(JSON.parse((await call(payload)).stdout)).toEqual(payload);
  });

  test("what the function raises is raised, and so is a result that is no JSON", async () => {
    await expect(call({ fail: "there are no rows" })).rejects.toThrow(/ValueError: there are no rows/);
    await expect(call({ nan: true })).rejects.toThrow(/not JSON compliant/);
  });
});

test("a pod serves the folder with its libraries to the process beside it", async () => {
  use("pip");
  const folder = folderWith("served", "idna==3.10\n", CODE);
  writeFileSync(join(folder, "words.json"), '["é"]');
  const python = { folder, entry: "clean:rows" };
  const { file } = await pythonArchive({ python, target: X64, outdir: join(home, "served-out") });
  const unpacked = unpack(file, "served-unpacked");
  const path = [PYTHON_FOLDER, PYTHON_LIBRARIES].map((name) => join(unpacked, name)).join(delimiter);
  const port = String(await freePort());
  const server = spawn("python3", ["-c", PYTHON_SERVER, python.entry], {
    env: { PATH, PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: "1", PORT: port },
    stdio: "ignore",
  });
  try {
    const address = { kind: "function", part: "clean", url: `http://127.0.0.1:${port}`, timeout: "30" } as const;
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const program = sidecar(address, { signal: new AbortController().signal, clock: systemClock, log, files: home });
    expect(await program.invoke({ name: "bücher.example" })).toEqual({ name: "xn--bcher-kva.example", words: ["é"] });
    await expect(program.invoke({ fail: "there are no rows" })).rejects.toMatchObject({
      kind: "failed",
      message: "the program failed: ValueError: there are no rows",
      stack: expect.stringContaining("clean.py"),
    });
    await expect(program.invoke({ nan: true })).rejects.toMatchObject({ kind: "failed" });
  } finally {
    server.kill();
  }
});
