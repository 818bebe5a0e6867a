import { execFile } from "node:child_process";
import { accessSync, chmodSync, constants, copyFileSync, mkdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { MillraceError } from "../../../runtime/errors.ts";

/** A program for functions to run. */
export interface Tool {
  readonly name: string;
  readonly path: string;
  /** The first line of what it says of itself. */
  readonly version: string;
  /** What is wrong with it, if it works all the same. */
  readonly warning?: string;
}

export interface ToolSearch {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The user's project: packages are looked for from there first. */
  readonly project: string;
  /** Where a program that may not be made executable in its place is copied to. */
  readonly cache: string;
}

/** Packages on npm that hold a program, the newest builds first. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  ffmpeg: ["ffmpeg-static", "@ffmpeg-installer/ffmpeg"],
  ffprobe: ["ffprobe-static", "@ffprobe-installer/ffprobe"],
};

/** Older builds of ffmpeg lack filters and encoders that ours are tried with. */
const LEAST_VERSION = 5;
/** When that one came out. https://ffmpeg.org/download.html#release_5.0 */
const LEAST_YEAR = 2022;

const HOW_TO_INSTALL: Readonly<Record<string, string>> = {
  ffmpeg: "apt install ffmpeg, brew install ffmpeg, winget install ffmpeg, or npm install --save-dev ffmpeg-static",
  ffprobe:
    "it comes with ffmpeg: apt install ffmpeg, brew install ffmpeg, winget install ffmpeg, or npm install --save-dev @ffprobe-installer/ffprobe",
};

/** All of these tools by name; every one that is missing is in one error. */
export async function findTools(names: readonly string[], search: ToolSearch): Promise<Readonly<Record<string, Tool>>> {
  const found = await Promise.allSettled([...new Set(names)].map((name) => findTool(name, search)));
  const failed = found.filter((result) => result.status === "rejected").map(({ reason }) => (reason as Error).message);
  if (failed.length > 0) throw new MillraceError("unavailable", failed.join("\n"));
  return Object.fromEntries(
    found.flatMap((result) => (result.status === "fulfilled" ? [[result.value.name, result.value]] : [])),
  );
}

/**
 * Finds a program on this machine: the one that `MILLRACE_<NAME>` names, else one on the PATH, else one from npm.
 *
 * @throws `unavailable` with all the places looked at, and how to install it
 */
export async function findTool(name: string, search: ToolSearch): Promise<Tool> {
  const { environment, cache } = search;
  const variable = `MILLRACE_${name.toUpperCase().replace(/[^A-Z0-9]/g, "_")}`;
  const chosen = environment[variable];
  if (chosen) return describe(name, chosen, `${variable}=${chosen}`);
  const looked = [`${variable} is not set`];
  const onPath = findOnPath(name, environment.PATH ?? "");
  if (onPath) return describe(name, onPath, onPath);
  looked.push(`no ${name} on the PATH`);
  for (const id of PACKAGES[name] ?? []) {
    const path = programOf(id, search);
    if (path) return describe(name, makeExecutable(path, name, cache), `package ${id}`);
    looked.push(`no npm package ${id} for this machine`);
  }
  const advice = HOW_TO_INSTALL[name] ?? `install it, or set ${variable} to its path`;
  throw new MillraceError("unavailable", `there is no ${name} here: ${looked.join("; ")}. To get one: ${advice}`);
}

async function describe(name: string, path: string, where: string): Promise<Tool> {
  if (!isAbsolute(path)) throw new MillraceError("unavailable", `${where}: an absolute path is wanted`);
  const version = await versionLine(name, path, where);
  if (!(name in PACKAGES) || !isOld(version)) return { name, path, version };
  const [short = version] = version.split(/ (?:Copyright|https?:)/);
  const warning = `${path} is an old ${name} (${short.slice(0, 60)}): some formats may fail or look different; ${LEAST_VERSION}.0 of ${LEAST_YEAR} or newer is recommended (${HOW_TO_INSTALL[name]})`;
  return { name, path, version, warning };
}

async function versionLine(name: string, path: string, where: string): Promise<string> {
  const flag = name in PACKAGES ? "-version" : "--version";
  try {
    const { stdout } = await promisify(execFile)(path, [flag], { timeout: 10_000 });
    return stdout.split("\n")[0]!.trim();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MillraceError("unavailable", `${name} from ${where} does not run: ${reason}`, { cause: error });
  }
}

/** Builds of the day have a name instead of a number, such as `N-47683-g0e8eb07980`: those tell by their copyright. */
function isOld(version: string): boolean {
  const [, major] = / version n?(\d+)\./.exec(version) ?? [];
  if (major !== undefined) return Number(major) < LEAST_VERSION;
  const [, year] = /Copyright \(c\) \d+-(\d{4})/.exec(version) ?? [];
  return year !== undefined && Number(year) < LEAST_YEAR;
}

function findOnPath(name: string, path: string): string | undefined {
  const endings = process.platform === "win32" ? [".exe", ".cmd", ""] : [""];
  return path
    .split(delimiter)
    .filter(isAbsolute)
    .flatMap((folder) => endings.map((ending) => join(folder, `${name}${ending}`)))
    .find(isExecutable);
}

/** From the user's project, else from where Millrace itself is installed. */
function programOf(id: string, { project }: ToolSearch): string | undefined {
  for (const from of [join(project, "package.json"), import.meta.url]) {
    try {
      const exported: unknown = createRequire(from)(id);
      const path = typeof exported === "string" ? exported : (exported as { readonly path?: unknown } | null)?.path;
      if (typeof path === "string" && statSync(path).isFile()) return path;
    } catch {
      // Not installed, or not for this kind of machine: the package says so by throwing.
    }
  }
  return undefined;
}

/** Package managers that unpack without the file's mode leave a program that cannot be run. */
function makeExecutable(path: string, name: string, cache: string): string {
  if (isExecutable(path)) return path;
  try {
    chmodSync(path, 0o755);
    return path;
  } catch {
    const copy = join(cache, name);
    mkdirSync(cache, { recursive: true });
    copyFileSync(path, copy);
    chmodSync(copy, 0o755);
    return copy;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
