import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** A process that a test has started. */
export interface Server {
  /** Its own: what it keeps, and its log. Removed when it is stopped. */
  readonly folder: string;
  /** Ends it and removes its folder. Fails if it had ended by itself. */
  stop(): Promise<void>;
}

/** How one is started. */
export interface ServerSpec {
  /** In its folder's name and in messages. */
  readonly name: string;
  /** Path of the program. */
  readonly command: string;
  /** @param folder its own, empty, removed at the end */
  readonly args: (folder: string) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Answers once it can be used, and throws or answers false until then. */
  readonly ready: () => Promise<boolean>;
  /** How long it may take until then. @default 60 seconds, for machines that do much else */
  readonly withinMs?: number;
}

/**
 * Starts a server and waits until it is ready. It dies with this process. Its log goes into the folder that
 * `MILLRACE_TEST_LOGS` names, and stays there; without one, its end stands in the message of what failed.
 *
 * @throws an error with the end of its log, if it is not ready in time.
 */
export async function startServer(spec: ServerSpec): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), `millrace-${spec.name}-`));
  const log = logOf(spec.name, folder);
  const child = spawnGuarded(spec, folder, log);
  const failed = (why: string) => new Error(`${spec.name} ${why}:\n${readFileSync(log, "utf8").slice(-4000)}`);
  const stop = async () => {
    const wasRunning = child.exitCode === null && child.signalCode === null;
    const error = wasRunning ? undefined : failed("ended before it was stopped");
    if (wasRunning) await end(child);
    await rm(folder, { recursive: true, force: true });
    if (error) throw error;
  };
  const deadline = performance.now() + (spec.withinMs ?? 60_000);
  while (!(await spec.ready().catch(() => false))) {
    const ended = child.exitCode !== null || child.signalCode !== null;
    if (!ended && performance.now() < deadline) {
      await sleep(100);
      continue;
    }
    const error = failed(ended ? "ended before it was ready" : "was not ready in time");
    await stop().catch(() => {}); // says the same
    throw error;
  }
  return { folder, stop };
}

function logOf(name: string, folder: string): string {
  const kept = process.env.MILLRACE_TEST_LOGS;
  if (!kept) return join(folder, "log");
  mkdirSync(kept, { recursive: true });
  return join(kept, `${name}-${folder.slice(-6)}.log`);
}

const GUARD = fileURLToPath(new URL("guard.ts", import.meta.url));

function spawnGuarded({ command, args, env }: ServerSpec, folder: string, log: string): ChildProcess {
  const out = openSync(log, "a");
  try {
    return spawn(process.execPath, [GUARD, folder, command, ...args(folder)], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ["pipe", out, out],
    });
  } finally {
    closeSync(out);
  }
}

async function end(child: ChildProcess): Promise<void> {
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.stdin?.end();
  await exit;
}

/** Ports nobody listens on now, on the loopback interface. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listen));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function listen(): Promise<ReturnType<typeof createServer>> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

/** Tries again with other ports if somebody took one meanwhile. */
export async function withFreePorts<Result>(
  count: number,
  start: (...ports: number[]) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(...(await freePorts(count)));
    } catch (error) {
      if (attempt === 3 || !/address already in use|EADDRINUSE/i.test((error as Error).message)) throw error;
    }
  }
}
