import { spawn } from "node:child_process";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { MillraceError } from "../../runtime/errors.ts";

/** How a program is run. */
export interface ToolOptions {
  /** Where relative names of files are looked up. */
  readonly cwd: string;
  /** Ends the program at once. */
  readonly signal: AbortSignal;
  readonly onOutput?: (line: string) => void;
  readonly onError?: (line: string) => void;
}

/** @throws `failed` if the function was not given it. */
export function toolOf(tools: Readonly<Record<string, string>>, name: string): string {
  const path = tools[name];
  if (path === undefined) throw new MillraceError("failed", `the function was given no ${name}: name it in \`tools\``);
  return path;
}

/**
 * Runs a program without a shell and resolves with its exit code once it is gone.
 *
 * @throws the signal's reason when it aborts, after the program has been killed; `failed` if it can't be started or
 * somebody else killed it.
 */
export function runTool(program: string, args: readonly string[], options: ToolOptions): Promise<number> {
  const { cwd, signal, onOutput, onError } = options;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const child = spawn(program, args, { cwd, env: ENVIRONMENT, stdio: ["ignore", "pipe", "pipe"] });
    const kill = () => child.kill("SIGKILL");
    signal.addEventListener("abort", kill, { once: true });
    // A process that ends takes its programs along: nobody else would.
    process.once("exit", kill);
    if (onOutput) createInterface({ input: child.stdout }).on("line", onOutput);
    else child.stdout.resume();
    if (onError) createInterface({ input: child.stderr }).on("line", onError);
    else child.stderr.resume();
    const settle = (end: () => void) => {
      signal.removeEventListener("abort", kill);
      process.removeListener("exit", kill);
      end();
    };
    child.once("error", (error) =>
      settle(() =>
        reject(new MillraceError("failed", `${program} can't be started: ${error.message}`, { cause: error })),
      ),
    );
    child.once("close", (code, killedBy) =>
      settle(() => {
        if (signal.aborted) reject(signal.reason);
        else if (code === null) reject(killed(program, killedBy));
        else resolve(code);
      }),
    );
  });
}

/**
 * What a program may know of its surroundings: no credentials, since it reads what strangers upload. Statically linked
 * builds crash on MPEG-TS when they load the converters of a machine whose C library is another one than theirs
 * (`GCONV_PATH` says where those are: https://man7.org/linux/man-pages/man3/iconv_open.3.html).
 */
const ENVIRONMENT: NodeJS.ProcessEnv = {
  ...Object.fromEntries(
    ["PATH", "LD_LIBRARY_PATH", "TMPDIR", "SystemRoot"].flatMap((name) =>
      process.env[name] === undefined ? [] : [[name, process.env[name]]],
    ),
  ),
  GCONV_PATH: "/nonexistent",
};

const killed = (program: string, by: NodeJS.Signals | null): MillraceError =>
  new MillraceError(
    "failed",
    `${basename(program)} was killed by ${by}${by === "SIGKILL" ? ": the machine may have run out of memory" : ""}`,
  );
