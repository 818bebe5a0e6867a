import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { BundleError } from "./bundle-error.ts";

/**
 * Refuses packages that are to be installed beside the bundle and are not there for the user's file either.
 * Folders are looked at, not `require.resolve`: a package may have no main module, or none for CommonJS.
 */
export function checkInstalled(packages: readonly string[], file: string): void {
  const missing = packages.filter((name) => !foldersAbove(file).some((folder) => existsSync(join(folder, name))));
  if (missing.length === 0) return;
  throw new BundleError(
    missing.map((name) => ({
      text: `install: the package "${name}" is not in a node_modules folder above ${file}: run npm install ${name}`,
      file,
    })),
  );
}

function foldersAbove(file: string): readonly string[] {
  const folders = [];
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    folders.push(join(folder, "node_modules"));
    if (folder === dirname(folder)) return folders;
  }
}
