import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The repository. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What `npm pack` made. */
export interface Tarball {
  readonly file: string;
  /** Paths in the package. */
  readonly files: readonly string[];
  /** Bytes of the tarball. */
  readonly size: number;
  /** The tarball's own tree. */
  readonly folder: string;
}

/** Packs a copy of the sources: `npm pack` builds, and the tests beside this one must not find a `dist` come and go. */
export async function pack(workspace: string): Promise<Tarball> {
  const copy = join(workspace, "sources");
  for (const name of ["package.json", "README.md", "tsconfig.json", "tsconfig.build.json", "bin", "docs", "lib"]) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  const { stdout } = await run("npm", ["pack", "--json", "--silent", "--pack-destination", workspace], { cwd: copy });
  // A list in npm 11, a map by name in npm 12.
  const [packed] = Object.values(JSON.parse(stdout.slice(stdout.search(/[[{]/))) as Record<string, PackReport>);
  const { filename, size, files } = packed!;
  const file = join(workspace, filename);
  await run("tar", ["-xzf", file, "-C", workspace], { cwd: workspace });
  return { file, size, files: files.map(({ path }) => path), folder: join(workspace, "package") };
}

interface PackReport {
  readonly filename: string;
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. @throws with all it said, unless its exit code is expected */
export async function run(
  program: string,
  args: readonly string[],
  { cwd, env = {}, code = 0 }: { cwd: string; env?: Readonly<Record<string, string>>; code?: number },
): Promise<Result> {
  const result = await promisify(execFile)(program, [...args], {
    cwd,
    env: { ...process.env, npm_config_update_notifier: "false", ...env },
    maxBuffer: 2 ** 26,
  }).then(
    (done) => ({ ...done, code: 0 }),
    (error: Result) => error,
  );
  if (result.code !== code) {
    const said = `${result.stdout}${result.stderr}`.trim();
    throw new Error(`${program} ${args.join(" ")} ended with ${result.code} in ${cwd}:\n${said || String(result)}`);
  }
  return result;
}

/** Installs what package.json names; from npm's cache where it has it. */
export const install = (cwd: string, ...flags: readonly string[]): Promise<Result> =>
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...flags], { cwd });

/** Writes files into a folder, making it. */
export function write(folder: string, files: Readonly<Record<string, string | object>>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content, null, 2));
  }
  return folder;
}

/** An empty folder, and how to be rid of it. */
export function makeWorkspace(): { readonly folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "millrace-package-"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The version of a package that the repository has installed. */
export const installedVersion = (name: string): string =>
  (JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8")) as { version: string }).version;

/** A Node of that major on the PATH, if there is one. */
export function findNode(major: number): string | undefined {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "node"))
    .find(
      (path) => existsSync(path) && execFileSync(path, ["--version"], { encoding: "utf8" }).startsWith(`v${major}.`),
    );
}

/** `millrace dev --json`, running. */
export interface RunningDev {
  /** What it printed when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Ctrl-C. @returns the exit code */
  interrupt(): Promise<number | null>;
}

/** Starts `millrace dev` and waits until it is ready. */
export async function startDev(
  [program, ...words]: readonly [string, ...string[]],
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<RunningDev> {
  const child: ChildProcess = spawn(program, [...words, "dev", "--json"], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said: string[] = [];
  child.stderr!.on("data", (bytes) => said.push(String(bytes)));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code));
  });
  const ready = new Promise<RunningDev["ready"]>((resolve) => {
    createInterface({ input: child.stdout! }).on("line", (line) => {
      said.push(`${line}\n`);
      const event = JSON.parse(line) as RunningDev["ready"];
      if (event.type === "ready") resolve(event);
    });
  });
  const early = ended.then((code) => {
    throw new Error(`millrace dev ended with ${code} before it was ready:\n${said.join("")}`);
  });
  return {
    ready: await Promise.race([ready, early]),
    interrupt: () => {
      early.catch(() => {});
      child.kill("SIGINT");
      return ended;
    },
  };
}
