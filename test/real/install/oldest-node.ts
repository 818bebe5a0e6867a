import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installed } from "./cache.ts";
import { runCommand } from "./run-command.ts";

/** The oldest that the CLI takes; bin/millrace.js says why. */
const OLDEST_NODE = "22.15.0";

/**
 * Installs the npm package `node`, which is a Node of its own that its install script puts in place, once.
 * `MILLRACE_OLDEST_NODE` names another one to use.
 */
export async function installOldestNode(): Promise<string> {
  if (process.env.MILLRACE_OLDEST_NODE) return process.env.MILLRACE_OLDEST_NODE;
  const folder = await installed(`node-${OLDEST_NODE}`, async (draft) => {
    mkdirSync(draft);
    const manifest = { private: true, dependencies: { node: OLDEST_NODE }, allowScripts: { node: true } };
    writeFileSync(join(draft, "package.json"), JSON.stringify(manifest));
    await runCommand("npm", ["install", "--no-audit", "--no-fund"], { cwd: draft });
  });
  return join(folder, "node_modules/node/bin/node");
}
