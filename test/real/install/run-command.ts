import { spawn } from "node:child_process";

/**
 * Runs a command quietly.
 *
 * @throws an error with the end of what it said, if it fails.
 */
export function runCommand(
  command: string,
  args: readonly string[],
  { cwd, env = {} }: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<string> {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  let out = "";
  child.stdout.on("data", (bytes: Buffer) => {
    out += bytes;
    said += bytes;
  });
  child.stderr.on("data", (bytes: Buffer) => {
    said += bytes;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) return resolve(out);
      reject(new Error(`${command} ${args.join(" ")} ended with ${signal ?? code}:\n${said.slice(-4000)}`));
    });
  });
}
