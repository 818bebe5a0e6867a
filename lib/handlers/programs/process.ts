import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler, Log } from "../../runtime/handler.ts";
import { callProgram } from "../../runtime/program.ts";
import { PYTHON_SERVER } from "../../shared/program/python.ts";

/** What is started: a command that listens for HTTP at `$PORT`, or a Python function. */
export interface ProcessSettings {
  readonly program:
    | { readonly image: { readonly reference: string; readonly local?: readonly string[] } }
    | { readonly python: { readonly folder: string; readonly entry: string } };
}

/** Runs a program in a process beside this one, from the first call on, and calls it by HTTP. */
export const handler: Handler<FunctionInvoked, unknown, ProcessSettings> = async (
  { payload },
  { settings: { program }, signal, log },
) => {
  running ??= start(program, log).catch((error: unknown) => {
    running = undefined;
    throw error;
  });
  const { url, ended } = await running;
  const answer = callProgram(url, payload, signal).catch(async (error: unknown) => {
    // A program that dies closes its connection a moment before its end is known, and the end says more.
    if (!signal.aborted) await Promise.race([ended, pause(END_KNOWN_WITHIN)]);
    throw error;
  });
  return Promise.race([answer, ended]);
};

/** Milliseconds from a connection that broke to the end of the process, at most, on a busy computer. */
const END_KNOWN_WITHIN = 2000;

/** One for each process of the function: it serves one call after the other. */
let running: Promise<Running> | undefined;

interface Running {
  readonly url: string;
  /** Rejects when the program has ended; never resolves. */
  readonly ended: Promise<never>;
}

async function start(program: ProcessSettings["program"], log: Log): Promise<Running> {
  const port = await freePort();
  const { command, env } = await commandOf(program, log);
  const [name, ...args] = command as [string, ...string[]];
  const child = spawn(name, args, {
    env: { ...process.env, ...env, PORT: String(port), MILLRACE_WATCH: "1", PYTHONDONTWRITEBYTECODE: "1" },
    // Its input closes with this process, however that ends.
    stdio: ["pipe", "inherit", "inherit"],
  });
  const ended = endOf(child, name);
  ended.catch(() => {
    running = undefined;
  });
  await Promise.race([listening(port), ended]);
  return { url: `http://127.0.0.1:${port}`, ended };
}

const endOf = (child: ChildProcess, name: string): Promise<never> =>
  new Promise((_, reject) => {
    child.once("error", (error) =>
      reject(new MillraceError("unavailable", `${name} did not start: ${error.message}`, { cause: error })),
    );
    child.once("exit", (code, signal) =>
      reject(new MillraceError("failed", `${name} ended with ${signal ?? `code ${code}`}`)),
    );
  });

async function commandOf(program: ProcessSettings["program"], log: Log) {
  if ("image" in program) {
    const { reference, local } = program.image;
    if (local && local.length > 0) return { command: local, env: {} };
    throw new MillraceError("refused", `${reference} does not run here: name a command, as image(…, { local: […] })`);
  }
  const { folder, entry } = program.python;
  const libraries = await librariesOf(folder, log);
  const path = [folder, libraries, process.env.PYTHONPATH].filter(Boolean).join(delimiter);
  return { command: ["python3", "-c", PYTHON_SERVER, entry], env: { PYTHONPATH: path } };
}

/** The folder with what `requirements.txt` names: installed once for each content, whole or not at all. */
async function librariesOf(folder: string, log: Log): Promise<string | undefined> {
  const requirements = join(folder, "requirements.txt");
  if (!existsSync(requirements)) return undefined;
  const hash = createHash("sha256")
    .update(await readFile(requirements))
    .digest("hex");
  const target = join(tmpdir(), `millrace-python-${hash.slice(0, 20)}`);
  if (existsSync(target)) return target;
  log.info(`installing ${requirements}`);
  const draft = await mkdtemp(`${target}-`);
  try {
    const args = [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--disable-pip-version-check",
      "--target",
      draft,
      "-r",
      requirements,
    ];
    await promisify(execFile)("python3", args, { maxBuffer: 2 ** 24 });
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (existsSync(target)) return target; // another process was quicker
    const { stderr = "" } = error as { readonly stderr?: string };
    throw new MillraceError("refused", `${requirements} cannot be installed: ${stderr.trim().slice(-2000)}`, {
      cause: error,
    });
  }
  return target;
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { readonly port: number };
      server.close(() => resolve(port));
    });
  });

/** Resolves once somebody answers there, whatever they say. */
async function listening(port: number): Promise<void> {
  for (;;) {
    const answers = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (answers) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
