import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { unzipSync } from "fflate";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { failure, pythonArchive, requirementTexts } from "../../lib/bundle/python.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "millrace-python-test-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const TARGET = { version: "3.12", cpu: "x64" } as const;

function write(files: Readonly<Record<string, string>>, folder = "app"): string {
  for (const [name, text] of Object.entries(files)) {
    const file = join(home, folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  return join(home, folder);
}

const pack = (folder: string, more: Partial<Parameters<typeof pythonArchive>[0]> = {}, out = "out") =>
  pythonArchive({ python: { folder, entry: "clean:rows" }, target: TARGET, outdir: join(home, out), ...more });

const namesIn = (file: string): readonly string[] => Object.keys(unzipSync(readFileSync(file))).sort();

describe("the zip of a Python folder", () => {
  test("holds the folder without what belongs to the user's machine", async () => {
    const folder = write({
      "clean.py": "def rows(x): return x",
      "words/__init__.py": "",
      "words/list.txt": "a b",
      "requirements.txt": "# none\n",
      "__pycache__/clean.cpython-312.pyc": "compiled",
      "words/__pycache__/x.pyc": "compiled",
      "old.pyc": "compiled",
      ".env": "SECRET=1",
      ".venv/lib/site.py": "",
      "venv/pyvenv.cfg": "home = /usr/bin",
      "venv/lib/site.py": "",
    });
    const { file } = await pack(folder, { called: "bytes" });
    expect(namesIn(file)).toEqual([
      "folder/clean.py",
      "folder/requirements.txt",
      "folder/words/__init__.py",
      "folder/words/list.txt",
      "millrace_handler.py",
    ]);
  });

  test("is the same bytes on two runs and in two places, and others when the code is", async () => {
    const files = { "clean.py": "def rows(x): return x", "data/words.txt": "a" };
    const one = await pack(write(files, "here"), { called: "value" }, "one");
    const two = await pack(write(files, "there"), { called: "value" }, "two");
    expect(two.hash).toBe(one.hash);
    expect(readFileSync(two.file).equals(readFileSync(one.file))).toBe(true);
    const three = await pack(write({ ...files, "data/words.txt": "b" }, "here"), { called: "value" }, "one");
    expect(three.hash).not.toBe(one.hash);
  });

  test("has no module to call where the folders are served", async () => {
    const { file } = await pack(write({ "clean.py": "" }));
    expect(namesIn(file)).toEqual(["folder/clean.py"]);
  });

  test("is refused when the entry's module is not there", async () => {
    const folder = write({ "other.py": "" });
    await expect(pack(folder)).rejects.toThrow(`python: there is no module "clean" in ${folder}`);
    mkdirSync(join(folder, "clean"));
    await expect(pack(folder)).resolves.toBeDefined();
  });

  test("is refused when it is larger than the platform takes, with what takes most", async () => {
    const folder = write({ "clean.py": `# ${"x".repeat(4000)}` });
    const limit = { platform: "Lambda", unzipped: 3 * 1024 };
    await expect(pack(folder, { limit })).rejects.toThrow(
      /python: .*app with its libraries takes 3\.9\d KB unpacked, and Lambda allows 3 KB: take fewer libraries/,
    );
    await expect(pack(folder, { limit: { platform: "Lambda", unzipped: 5000 } })).resolves.toBeDefined();
    await expect(pack(folder, { limit: { platform: "Lambda", zipped: 10 } })).rejects.toThrow("as a zip");
  });

  test("is refused when a folder in it is a link to elsewhere; a file that is a link is a file", async () => {
    const folder = write({ "clean.py": "" });
    write({ "words.txt": "a" }, "elsewhere");
    symlinkSync(join(home, "elsewhere", "words.txt"), join(folder, "words.txt"));
    const { file } = await pack(folder);
    expect(namesIn(file)).toContain("folder/words.txt");
    symlinkSync(join(home, "elsewhere"), join(folder, "more"));
    await expect(pack(folder)).rejects.toThrow(`${join(folder, "more")} is a link to a folder`);
  });
});

describe("requirements", () => {
  test("are known with the files they include", async () => {
    const folder = write({
      "requirements.txt": "numpy==2.2.6 # the last for 3.10\n-r more/web.txt\n--constraint=limits.txt\n",
      "more/web.txt": "requests\n",
      "limits.txt": "urllib3<3\n",
    });
    const texts = await requirementTexts(join(folder, "requirements.txt"));
    expect(texts.slice(1)).toEqual(["requests\n", "urllib3<3\n"]);
  });

  test.each(["-e .", "./vendor/thing", "/opt/thing", "thing @ file:///opt/thing", "thing-1.0-py3-none-any.whl"])(
    "%s is refused: its content is not known by its name",
    async (line) => {
      const folder = write({ "clean.py": "", "requirements.txt": `orjson\n${line}\n` });
      await expect(pack(folder)).rejects.toThrow(`"${line}" is a path: put its modules into the folder itself`);
    },
  );

  test("an included file that is not there is named", async () => {
    const folder = write({ "clean.py": "", "requirements.txt": "-r base.txt\n" });
    await expect(pack(folder)).rejects.toThrow(`${join(folder, "base.txt")} cannot be read`);
  });
});

describe("a failed installation", () => {
  const install = { requirements: "/app/requirements.txt", target: TARGET };

  test.each([
    ["pip", "ERROR: No matching distribution found for docopt==0.6.2", "docopt==0.6.2"],
    ["uv", "  cause: Because all versions of docopt have no usable wheels and you require docopt, we can", "docopt"],
    ["uv, of one version", "Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2", "docopt==0.6.2"],
  ])("names the package that %s finds no wheel of", (_, said, name) => {
    expect(failure(install, said)).toContain(
      `of ${name} there is no wheel for Python 3.12 on Linux, x86_64, and nothing is compiled here`,
    );
  });

  test("is told in the tool's words where they are not known", () => {
    expect(failure(install, "the disk is full")).toBe(
      "python: /app/requirements.txt cannot be installed for Python 3.12 on Linux, x86_64: the disk is full",
    );
  });
});
