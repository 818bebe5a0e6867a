import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
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
 * built for the target. https://docs.npmjs.com/cli/v11/commands/npm-install#cpu
 *
 * @param file the user's file that imports them
 * @throws BundleError with what npm says.
 */
export async function installedFiles(
  packages: readonly string[],
  file: string,
  { os, cpu, libc }: InstallTarget,
): Promise<Readonly<Record<string, ArchivedFile>>> {
  if (packages.length === 0) return {};
  const folder = await mkdtemp(join(tmpdir(), "millrace-install-"));
  try {
    const versions = await Promise.all(packages.map(async (name) => [name, await versionOf(name, file)] as const));
    await writeFile(
      join(folder, "package.json"),
      JSON.stringify({ private: true, dependencies: Object.fromEntries(versions) }),
    );
    await npmInstall(folder, [`--os=${os}`, `--cpu=${cpu}`, `--libc=${libc}`], packages);
    return await filesUnder(folder, join(folder, "node_modules"));
  } finally {
    await rm(folder, { recursive: true, force: true });
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
