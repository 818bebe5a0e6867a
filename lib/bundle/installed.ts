import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { promisify } from "node:util";
import type { ArchivedFile } from "./archive.ts";
import { BundleError } from "./bundle-error.ts";

/** The machine that packages are installed for, whatever this one is. */
export interface InstallTarget {
  readonly os: "linux";
  readonly cpu: "x64" | "arm64";
  readonly libc: "glibc";
}

/**
 * Packages with all they need, as files under `node_modules/`: in the versions installed for the user's own file, but
 * built for the target. What is installed once is not installed again. https://docs.npmjs.com/cli/v11/commands/npm-install#cpu
 *
 * @param file the user's file that imports them
 * @param kept the folder where what is installed is kept
 * @throws BundleError with what npm says.
 */
export async function installedFiles(
  packages: readonly string[],
  file: string,
  target: InstallTarget,
  kept: string,
): Promise<Readonly<Record<string, ArchivedFile>>> {
  if (packages.length === 0) return {};
  const versions = await Promise.all(packages.map(async (name) => [name, await versionOf(name, file)] as const));
  const wanted = createHash("sha256").update(JSON.stringify([versions, target]));
  const folder = join(kept, wanted.digest("hex").slice(0, 20));
  if (!existsSync(folder)) await installWhole(folder, Object.fromEntries(versions), target);
  return filesUnder(folder, join(folder, "node_modules"));
}

/** Installs beside, then renames: nobody finds half of it. */
async function installWhole(
  folder: string,
  dependencies: Readonly<Record<string, string>>,
  { os, cpu, libc }: InstallTarget,
): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const draft = await mkdtemp(`${folder}.`);
  try {
    await writeFile(join(draft, "package.json"), JSON.stringify({ private: true, dependencies }));
    await npmInstall(draft, [`--os=${os}`, `--cpu=${cpu}`, `--libc=${libc}`], Object.keys(dependencies));
    await rename(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error; // else somebody was quicker
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Installs what the folder's manifest names. @throws BundleError with what npm says */
export async function npmInstall(
  folder: string,
  options: readonly string[],
  packages: readonly string[],
): Promise<void> {
  const quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--omit=dev", "--prefer-offline"];
  try {
    await promisify(execFile)("npm", ["install", ...quiet, ...options], { cwd: folder, maxBuffer: 2 ** 24 });
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() || (error as Error).message;
    throw new BundleError([{ text: `install: ${packages.join(", ")} could not be installed: ${said}` }]);
  }
}

/** The version that the user has: the bundle runs what was tried. */
async function versionOf(name: string, file: string): Promise<string> {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const manifest = join(folder, "node_modules", name, "package.json");
    if (existsSync(manifest)) return (JSON.parse(await readFile(manifest, "utf8")) as { version: string }).version;
    if (folder === dirname(folder)) throw new BundleError([{ text: `install: there is no package "${name}"`, file }]);
  }
}

async function filesUnder(root: string, folder: string): Promise<Record<string, ArchivedFile>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: Record<string, ArchivedFile> = {};
  for (const entry of entries.filter((one) => one.isFile() && one.name !== ".package-lock.json")) {
    const path = join(entry.parentPath, entry.name);
    const { mode } = await stat(path);
    files[relative(root, path).split(sep).join("/")] = {
      bytes: await readFile(path),
      executable: (mode & 0o100) !== 0,
    };
  }
  return files;
}
