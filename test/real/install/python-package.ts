import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CACHE, installed } from "./cache.ts";
import { runCommand } from "./run-command.ts";

/**
 * Installs a package of PyPI with what it needs: once, into `.cache/<name>-<version>`.
 *
 * @param spec `name==version`, or `name[extra]==version`
 * @returns the folder. In it, `python` is a shell script: a Python that finds the package.
 */
export function pythonPackage(spec: string): Promise<string> {
  return installed(spec.replace(/\[.*\]/, "").replace("==", "-"), (draft) => install(spec, draft));
}

async function install(spec: string, draft: string): Promise<void> {
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  const run = (python: string, args: readonly string[]) => runCommand(python, args, { cwd: CACHE });
  try {
    // Not `pip install` alone: Debian's Python refuses it. https://peps.python.org/pep-0668/
    await run("python3", ["-m", "venv", draft]);
    await run(join(draft, "bin/python"), [...pip, spec]);
    writeLauncher(draft, '"$(dirname "$0")/bin/python"');
  } catch {
    console.log("python3 -m venv did not work here; pip install --target instead");
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft);
    await run("python3", [...pip, "--target", draft, spec]);
    writeLauncher(draft, 'env PYTHONPATH="$(dirname "$0")" python3');
  }
}

/** The folder is renamed, and the scripts that pip writes name it by its path. */
const writeLauncher = (draft: string, python: string): void =>
  writeFileSync(join(draft, "python"), `#!/bin/sh\nexec ${python} "$@"\n`, { mode: 0o755 });
