import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { CACHE } from "../samples.ts";

/** Systems in Python that do the same. */
const VERSIONS = { lithops: "3.8.0", pyspark: "4.3.0" } as const;
export type PythonPeer = keyof typeof VERSIONS;

/** The Python that has the peer; it is installed once, into the bench's cache. Nothing where it cannot be. */
export async function pythonOf(peer: PythonPeer, say: (text: string) => void): Promise<string | undefined> {
  const folder = join(CACHE, `${peer}-${VERSIONS[peer]}`);
  const python = join(folder, "bin", "python");
  if (existsSync(python)) return python;
  const run = promisify(execFile);
  const draft = `${folder}.draft`;
  try {
    say(`installing ${peer} ${VERSIONS[peer]}`);
    await mkdir(CACHE, { recursive: true });
    await rm(draft, { recursive: true, force: true });
    await run("python3", ["-m", "venv", draft]);
    await run(join(draft, "bin", "python"), ["-m", "pip", "install", "--quiet", `${peer}==${VERSIONS[peer]}`]);
    // Only its scripts know the folder's name.
    await rename(draft, folder);
    return python;
  } catch (error) {
    say(`${peer} is left out: ${(error as Error).message.split("\n")[0]}`);
    return undefined;
  }
}
