import { spawn } from "node:child_process";
import { rmSync } from "node:fs";

/**
 * Runs a server for as long as its own standard input is open: when the process of a test dies, however it dies, the
 * server and its folder go too. `node guard.ts <folder> <command> [...arguments]`
 */
const [folder, command, ...args] = process.argv.slice(2) as [string, string, ...string[]];
const server = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });
let ended = false;

process.stdin.resume();
process.stdin.once("end", end);
process.stdin.once("error", end);
// The terminal's Ctrl-C reaches everyone: the test process decides when it is over.
process.on("SIGINT", () => {});
process.on("SIGTERM", end);

server.once("error", (error) => {
  console.error(`${command}: ${error.message}`);
  process.exit(1);
});
server.once("exit", (code, signal) => {
  if (ended) rmSync(folder, { recursive: true, force: true });
  else console.error(`ended by itself with ${signal ?? code}`);
  process.exit(ended ? 0 : (code ?? 1));
});

function end(): void {
  if (ended) return;
  ended = true;
  server.kill("SIGTERM");
  setTimeout(() => server.kill("SIGKILL"), GRACE_MS).unref();
}

const GRACE_MS = 5000;
