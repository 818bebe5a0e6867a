import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installed } from "./cache.ts";
import { runCommand } from "./run-command.ts";

/** A command of a Go module. */
export interface GoTool {
  /** Of the binary. */
  readonly name: string;
  /** As in `go.mod`, with its `v`. */
  readonly version: string;
  readonly module: string;
  /** The package of the command. */
  readonly command: string;
  /** A variable that gets the version when it is linked, as `package.Variable`. @default none */
  readonly versionVariable?: string;
  /** Lines of `go.mod` that name modules which stand in for others. @default none do */
  readonly replace?: () => Promise<string>;
}

/**
 * Builds a command from the Go module proxy that the environment names: once, into `.cache/<name>-<version>/<name>`.
 *
 * @returns the path of the binary.
 */
export async function goTool(tool: GoTool): Promise<string> {
  const { name, version } = tool;
  const folder = await inTurn(() => installed(`${name}-${version.slice(1)}`, (draft) => build(tool, draft)));
  return join(folder, name);
}

/** One at a time: a build already uses every core there is, and the first one is ready sooner. */
let last: Promise<unknown> = Promise.resolve();

function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}

async function build({ name, version, module, command, versionVariable, replace }: GoTool, draft: string) {
  mkdirSync(draft);
  const go = (...args: string[]) => runCommand("go", args, { cwd: draft });
  writeFileSync(join(draft, "go.mod"), `module tool\n\ngo 1.26\n\nrequire ${module} ${version}\n`);
  if (replace) writeFileSync(join(draft, "go.mod"), await replace(), { flag: "a" });
  await go("get", "-tool", `${command}@${version}`);
  // Without symbols: smaller, and linked sooner.
  const set = versionVariable ? ` -X ${versionVariable}=${version}` : "";
  await go("build", "-trimpath", "-ldflags", `-s -w${set}`, "-o", name, command);
}

/** The folder of a module's sources. */
export const goModule = async (module: string, version: string): Promise<string> =>
  (await download(module, version)).Dir;

/** The `go.mod` of a module. */
export const goModFile = async (module: string, version: string): Promise<string> =>
  readFile((await download(module, version)).GoMod, "utf8");

/** Into Go's own module cache. https://go.dev/ref/mod#go-mod-download */
async function download(module: string, version: string): Promise<{ readonly Dir: string; readonly GoMod: string }> {
  return JSON.parse(await runCommand("go", ["mod", "download", "-json", `${module}@${version}`], { cwd: tmpdir() }));
}
