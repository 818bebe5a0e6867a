#!/usr/bin/env node
// Written so that every Node that knows modules can read it: an old one is told so, or hands over to a newer one.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import * as modules from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, "../lib/cli/main.ts");
// A checkout may have both; its programs import the sources, and two copies of the library do not know each other.
const isBuilt = !existsSync(source);
// Since these, a program's modules can be loaded by hooks in its own thread, and TypeScript needs no flag.
// https://nodejs.org/api/module.html#moduleregisterhooksoptions https://nodejs.org/api/typescript.html
const needed = isBuilt ? [22, 15] : [22, 18];

if (isNewEnough(process.versions.node)) run();
else handOver();

async function run() {
  quiet();
  if (modules.enableCompileCache) modules.enableCompileCache();
  const { main } = await import(pathToFileURL(isBuilt ? join(here, "../dist/cli/main.js") : source).href);
  process.exitCode = await main(process.argv.slice(2));
}

/** Node 22 warns of SQLite and of TypeScript at every start; neither is news for the user. */
function quiet() {
  const emit = process.emitWarning;
  process.emitWarning = (warning, ...rest) => {
    const text = warning instanceof Error ? warning.message : warning;
    if (!/^(SQLite|Type Stripping) is an experimental feature/.test(text)) emit.call(process, warning, ...rest);
  };
}

/** The package `node`, if the user's project or ours has it, is a Node of its own. */
function handOver() {
  const newer = process.env.MILLRACE_HANDED_OVER ? undefined : findNode();
  if (!newer) {
    const need = `millrace needs Node ${needed.join(".")} or newer, best is 24, and this is ${process.versions.node}`;
    console.error(`${need}: install a newer one, or, in your project, npm install --save-dev node@24`);
    process.exitCode = 1;
    return;
  }
  const env = Object.assign({}, process.env, { MILLRACE_HANDED_OVER: "1" });
  const child = spawn(newer, [fileURLToPath(import.meta.url)].concat(process.argv.slice(2)), { stdio: "inherit", env });
  // A terminal's Ctrl-C reaches the child by itself; other signals reach only us.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("error", (error) => {
    console.error(`millrace: ${newer}: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    if (signal) process.kill(process.pid, signal);
    else process.exitCode = code;
  });
}

function findNode() {
  for (const folder of [process.cwd(), here]) {
    try {
      const found = modules.createRequire(join(folder, "_")).resolve("node/package.json");
      const binary = join(dirname(found), "bin", process.platform === "win32" ? "node.exe" : "node");
      if (existsSync(binary)) return binary;
    } catch {
      // not there: look in the next place
    }
  }
  return undefined;
}

function isNewEnough(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > needed[0] || (major === needed[0] && minor >= needed[1]);
}
