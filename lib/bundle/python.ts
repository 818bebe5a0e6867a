import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import type { PythonPlan } from "../parts/plan.ts";
import { PYTHON_FOLDER, PYTHON_HANDLER, PYTHON_LIBRARIES, pythonHandler } from "../shared/program/python.ts";
import { formatBytes } from "../shared/size.ts";
import { type Archive, type ArchivedFile, archive } from "./archive.ts";
import { BundleError } from "./bundle-error.ts";

/** The Python that libraries are installed for, whatever this machine has. */
export interface PythonTarget {
  readonly version: "3.12" | "3.13";
  readonly cpu: "x64" | "arm64";
}

/** What goes into the code of one Python function. */
export interface PythonArgs {
  readonly python: PythonPlan;
  readonly target: PythonTarget;
  /** How the platform calls it: adds the module to call. @default nothing calls it: it is served from its folders */
  readonly called?: "bytes" | "value";
  /** Where zips and installed libraries are kept. */
  readonly outdir: string;
  /** What the platform takes at most. @default anything */
  readonly limit?: PythonLimit;
}

export interface PythonLimit {
  /** `"Lambda"`. */
  readonly platform: string;
  /** Of the zip, in bytes. @default not bounded */
  readonly zipped?: number;
  /** Of its files, in bytes. @default not bounded */
  readonly unzipped?: number;
}

type Files = Readonly<Record<string, ArchivedFile>>;

/**
 * A user's Python folder with the libraries of its `requirements.txt`, as a zip: `folder/`, `libraries/`, and the module
 * that the platform calls. Libraries are installed once for each content of the requirements, whole or not at all.
 *
 * @throws BundleError in words that name the package, the file or the size that is wrong.
 */
export async function pythonArchive({ python, target, called, outdir, limit }: PythonArgs): Promise<Archive> {
  checkEntry(python);
  const [folder, libraries] = await Promise.all([userFiles(python.folder), libraryFiles(python, target, outdir)]);
  const files: Files = {
    ...under(PYTHON_FOLDER, folder),
    ...under(PYTHON_LIBRARIES, libraries),
    ...(called && { [`${PYTHON_HANDLER}.py`]: { bytes: Buffer.from(pythonHandler(python.entry, called)) } }),
  };
  // Libraries are machine code, large and hard to make smaller.
  const level = Object.keys(libraries).length > 0 ? 1 : 9;
  const made = await archive(files, join(resolve(outdir), "zip"), { level });
  if (limit) checkLimit(python, made, libraries, limit);
  return made;
}

const under = (folder: string, files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([name, file]) => [`${folder}/${name}`, file]));

function checkEntry({ folder, entry }: PythonPlan): void {
  const [module = ""] = entry.split(":");
  const path = join(folder, ...module.split("."));
  if (existsSync(`${path}.py`) || existsSync(path)) return;
  throw new BundleError([
    { text: `python: there is no module "${module}" in ${folder}: neither ${path}.py nor a package of that name` },
  ]);
}

function checkLimit(
  { folder }: PythonPlan,
  { bytes, unzipped }: Archive,
  libraries: Files,
  { platform, zipped: mostZipped = Infinity, unzipped: mostUnzipped = Infinity }: PythonLimit,
): void {
  const [isZip, size, most] = bytes > mostZipped ? [true, bytes, mostZipped] : [false, unzipped, mostUnzipped];
  if (size <= most) return;
  const largest = largestOf(libraries);
  throw new BundleError([
    {
      text: `python: ${folder} with its libraries takes ${formatBytes(size)} ${isZip ? "as a zip" : "unpacked"}${largest && ` (${largest})`}, and ${platform} allows ${formatBytes(most)}: take fewer libraries, or make it an image`,
    },
  ]);
}

/** `numpy 41 MB, numpy.libs 25 MB, …` */
function largestOf(libraries: Files): string {
  const sizes = new Map<string, number>();
  for (const [path, { bytes }] of Object.entries(libraries)) {
    const name = path.split("/")[0]!;
    sizes.set(name, (sizes.get(name) ?? 0) + bytes.byteLength);
  }
  const sorted = [...sizes].sort(([, one], [, other]) => other - one).slice(0, 3);
  return sorted.map(([name, bytes]) => `${name} ${formatBytes(bytes)}`).join(", ");
}

/** What lies in the user's folder but belongs to their machine: hidden files, compiled modules, virtual environments. */
const userFiles = (folder: string): Promise<Files> =>
  filesIn(folder, (name, path) => !name.startsWith(".") && !isCompiled(name) && !existsSync(join(path, "pyvenv.cfg")));

/**
 * Of what is installed only what runs: no scripts, which name this machine's Python, and no notes of who installed it.
 *
 * https://packaging.python.org/en/latest/specifications/recording-installed-packages/
 */
const installedFiles = (folder: string): Promise<Files> =>
  filesIn(folder, (name, path) => {
    if (dirname(path) === folder) return name !== "bin" && name !== ".lock";
    return !isCompiled(name) && !(dirname(path).endsWith(".dist-info") && NOTES.has(name));
  });

const NOTES: ReadonlySet<string> = new Set(["RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"]);

const isCompiled = (name: string): boolean => name === "__pycache__" || name.endsWith(".pyc");

async function filesIn(root: string, isWanted: (name: string, path: string) => boolean): Promise<Files> {
  const files: Record<string, ArchivedFile> = {};
  const visit = async (folder: string, prefix: string): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (!isWanted(entry.name, path)) continue;
      const found = await stat(path);
      if (found.isDirectory() && entry.isSymbolicLink()) {
        throw new BundleError([{ text: `python: ${path} is a link to a folder: put the folder itself there` }]);
      }
      if (found.isDirectory()) await visit(path, `${prefix}${entry.name}/`);
      else if (found.isFile()) {
        files[prefix + entry.name] = { bytes: await readFile(path), executable: (found.mode & 0o100) !== 0 };
      }
    }
  };
  await visit(root, "");
  return files;
}

/** The libraries that `requirements.txt` names, from the folder that keeps them. */
async function libraryFiles({ folder }: PythonPlan, target: PythonTarget, outdir: string): Promise<Files> {
  const requirements = join(folder, "requirements.txt");
  if (!existsSync(requirements)) return {};
  const texts = await requirementTexts(requirements);
  if (texts.every((text) => linesOf(text).length === 0)) return {};
  const hash = createHash("sha256")
    .update(JSON.stringify([target, texts]))
    .digest("hex")
    .slice(0, 20);
  const kept = join(resolve(outdir), "python", hash);
  if (!existsSync(kept)) await installWhole(requirements, texts, target, kept);
  return installedFiles(kept);
}

/**
 * The texts of a requirements file and of those that it includes: what is installed is known by them.
 *
 * @throws BundleError if a line names a folder or file, whose content would not be known by its name.
 * @see https://pip.pypa.io/en/stable/reference/requirements-file-format/
 */
export async function requirementTexts(file: string): Promise<readonly string[]> {
  const text = await readFile(file, "utf8").catch((error: Error) => {
    throw new BundleError([{ text: `python: ${file} cannot be read: ${error.message}` }]);
  });
  const lines = linesOf(text);
  const own = lines.find((line) => /^(-e|--editable)\b|^(\.|\/|file:)|@\s*(file:|\.|\/)|^[^@\s]+\.whl$/.test(line));
  if (own !== undefined) {
    throw new BundleError([
      {
        text: `python: ${file}: "${own}" is a path: put its modules into the folder itself, or name a published package`,
      },
    ]);
  }
  const included = lines.flatMap((line) => /^(?:-r|--requirement|-c|--constraint)[\s=]*(\S+)$/.exec(line)?.[1] ?? []);
  const others = await Promise.all(included.map((name) => requirementTexts(resolve(dirname(file), name))));
  return [text, ...others.flat()];
}

/** Without comments and empty lines. */
const linesOf = (text: string): readonly string[] =>
  text
    .split("\n")
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "");

/** Installs into a draft, then renames it: nobody sees half of it. */
async function installWhole(
  requirements: string,
  texts: readonly string[],
  target: PythonTarget,
  kept: string,
): Promise<void> {
  await mkdir(dirname(kept), { recursive: true });
  const draft = await mkdtemp(`${kept}-`);
  try {
    const install = (await hasUv()) ? uvInstall : pipInstall;
    await install({ requirements, isHashed: texts.some((text) => text.includes("--hash=")), target, into: draft });
    await rename(draft, kept).catch((error: unknown) => {
      if (!existsSync(kept)) throw error; // else another process was quicker
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

interface Install {
  readonly requirements: string;
  /** Whether the user has written down what every package must be. */
  readonly isHashed: boolean;
  readonly target: PythonTarget;
  readonly into: string;
}

const hasUv = (): Promise<boolean> =>
  promisify(execFile)("uv", ["--version"]).then(
    () => true,
    () => false,
  );

/** Versions are chosen first, with their hashes; what comes is checked by them. https://docs.astral.sh/uv/pip/compile/ */
async function uvInstall(install: Install): Promise<void> {
  const { requirements, isHashed, target, into } = install;
  const platform = [
    ...["--python-version", target.version],
    ...["--python-platform", `${CPU[target.cpu]}-manylinux_2_28`],
    ...["--only-binary", ":all:"],
  ];
  const lock = `${into}.lock`;
  try {
    if (!isHashed) {
      const compile = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"];
      await tool("uv", [...compile, ...platform, "--output-file", lock, requirements], install);
    }
    const wanted = ["--require-hashes", "--requirements", isHashed ? requirements : lock];
    await tool("uv", ["pip", "install", "--quiet", "--target", into, ...platform, ...wanted], install);
  } finally {
    await rm(lock, { force: true });
  }
}

/**
 * pip takes exactly the platforms that are named, no older ones, and of several the newest build that fits.
 * https://pip.pypa.io/en/stable/cli/pip_install/#cmdoption-platform
 */
function pipInstall(install: Install): Promise<void> {
  const { requirements, target, into } = install;
  const quiet = ["--quiet", "--disable-pip-version-check", "--no-compile"];
  const platform = [
    ...PLATFORMS[target.cpu].flatMap((name) => ["--platform", `${name}_${CPU[target.cpu]}`]),
    ...["--python-version", target.version, "--implementation", "cp", "--only-binary=:all:"],
  ];
  return tool(
    "python3",
    ["-m", "pip", "install", ...quiet, "--target", into, ...platform, "-r", requirements],
    install,
  );
}

const CPU = { x64: "x86_64", arm64: "aarch64" } as const;

/** What glibc 2.28 runs: that of the platforms' Pythons or older. https://peps.python.org/pep-0600/ */
const SINCE_2014 = Array.from({ length: 12 }, (_, index) => `manylinux_2_${28 - index}`);
const PLATFORMS = {
  x64: [...SINCE_2014, "manylinux2014", "manylinux_2_12", "manylinux2010", "manylinux_2_5", "manylinux1"],
  arm64: [...SINCE_2014, "manylinux2014"],
} as const;

async function tool(name: string, args: readonly string[], install: Install): Promise<void> {
  try {
    await promisify(execFile)(name, [...args], { maxBuffer: 2 ** 24 });
  } catch (error) {
    const { code, stderr = "" } = error as { readonly code?: unknown; readonly stderr?: string };
    const said = (stderr.trim() || (error as Error).message).slice(-2000);
    throw new BundleError([{ text: code === "ENOENT" ? NO_INSTALLER : failure(install, said) }]);
  }
}

const NO_INSTALLER =
  "python: neither uv nor python3 is on this machine, and one of them has to install what requirements.txt names";

/** The tool's own words, after ours: the usual fault is a package that would have to be compiled. */
export function failure({ requirements, target }: Pick<Install, "requirements" | "target">, said: string): string {
  const python = `Python ${target.version} on Linux, ${CPU[target.cpu]}`;
  const name = MISSING.map((pattern) => pattern.exec(said)?.[1]).find((found) => found !== undefined);
  return name === undefined
    ? `python: ${requirements} cannot be installed for ${python}: ${said}`
    : `python: ${requirements}: of ${name} there is no wheel for ${python}, and nothing is compiled here: take a version or a package that has one, or make it an image\n${said}`;
}

/** How pip and uv say that. */
const MISSING = [
  /No matching distribution found for ([^\s(;]+)/,
  /([\w.-]+(?:[=<>!~]=?[\w.*]+)?) (?:has|have) no (?:usable )?wheels/,
  /no wheels (?:are available )?(?:for|with)[^`]*`([\w.-]+)/,
];
