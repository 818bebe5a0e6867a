import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** What the tests of this folder install lies here, by name and version. */
export const CACHE = fileURLToPath(new URL("../../../.cache", import.meta.url));

/**
 * The folder `.cache/<name>`, filled by `fill` if it is not there: once, whoever else asks at the same time, and in a
 * draft that is renamed, so that an installation that was interrupted is not taken for a whole one.
 */
export async function installed(name: string, fill: (draft: string) => Promise<void> | void): Promise<string> {
  const folder = join(CACHE, name);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  await locked(`${folder}.lock`, async () => {
    if (existsSync(folder)) return;
    const draft = `${folder}.draft`;
    rmSync(draft, { recursive: true, force: true });
    console.log(`installing ${name} into ${folder}`);
    const start = performance.now();
    await fill(draft);
    await rename(draft, folder);
    console.log(`installed ${name} in ${Math.round((performance.now() - start) / 1000)} s`);
  });
  return folder;
}

/** The lock is a file with its holder's process id; that of a process which is gone counts for nothing. */
async function locked(file: string, work: () => Promise<void>): Promise<void> {
  let said = false;
  while (!take(file)) {
    if (!said) console.log(`waiting for ${basename(file, ".lock")}, which another process installs`);
    said = true;
    await sleep(500);
  }
  try {
    await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function take(file: string): boolean {
  try {
    const lock = openSync(file, "wx");
    writeSync(lock, String(process.pid));
    closeSync(lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (isAbandoned(file)) rmSync(file, { force: true });
    return false;
  }
}

function isAbandoned(file: string): boolean {
  try {
    const holder = Number(readFileSync(file, "utf8"));
    if (holder > 0) process.kill(holder, 0); // 0: between its creation and its first byte
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
