/**
 * `millrace dev`: from command to ready, an edit of a handler to ready again, a restart on a journal with 100,000
 * tasks.
 *
 * The command is what a user types (`npx millrace dev`, and `node bin/millrace.js dev`, which is the same without npx),
 * run with `--json`; ready is its `ready` line. An edit is one changed line in the handler's file of a project made for
 * this; ready again is the `code.changed` event on standard output, which comes when the next invocation will run
 * the new code. It holds the 50 ms in which an editor may still be saving. The restart has 100,000 tasks in its journal,
 * half of them finished and half waiting for tomorrow; it stands beside a start on an empty folder, in turn.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connectLocal } from "../lib/clouds/local/client.ts";
import { startDev } from "../lib/clouds/local/dev.ts";
import type { Bench, BenchOptions, BenchResult } from "./bench.ts";
import { PROJECT } from "./machine.ts";
import { alternate, type Cost, measure, medianOf } from "./measure.ts";

export const bench: Bench = { title: "millrace dev: start, edit, restart", run };

const MANY = 100_000;
const CLI = join(PROJECT, "bin", "millrace.js");
const LAUNCHERS = {
  "node bin/millrace.js dev": [process.execPath, CLI],
  "npx millrace dev": ["npx", "--no-install", "millrace"],
} as const;

async function run({ runs, quick, say }: BenchOptions): Promise<BenchResult> {
  const root = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  try {
    const tasks = quick ? 2000 : MANY;
    const project = makeProject(join(root, "project"));
    const journal = join(root, "journal");
    await fillJournal(project, journal, tasks);
    let fresh = 0;
    const empty = () => {
      fresh += 1;
      return join(root, `empty-${fresh}`);
    };
    const typed = LAUNCHERS["node bin/millrace.js dev"];
    const contenders = {
      node: () => startOnce(typed, project, empty()),
      npx: () => startOnce(LAUNCHERS["npx millrace dev"], project, empty()),
      full: () => startOnce(typed, project, journal),
      edit: () => editOnce(typed, project, empty()),
    };
    await startOnce(typed, project, empty()); // Node's compile cache is filled by the first.
    const samples = await alternate<keyof typeof contenders, Cost>(contenders, runs, (name, round, { wall, cpu }) =>
      say(`${round} ${name} ${wall.toFixed(3)} s, ${cpu.toFixed(2)} CPU-s`),
    );
    const wall = (name: keyof typeof contenders) => medianOf(samples[name], (sample) => sample.wall);
    const cpu = (name: keyof typeof contenders) => medianOf(samples[name], (sample) => sample.cpu);
    return {
      figures: [
        { what: "node bin/millrace.js dev: seconds to ready", ours: wall("node") },
        { what: "node bin/millrace.js dev: CPU seconds to ready", ours: cpu("node") },
        { what: "npx millrace dev: seconds to ready", ours: wall("npx") },
        { what: "edit to ready again, seconds", ours: wall("edit") },
        {
          what: `restart on ${tasks.toLocaleString("en")} tasks, seconds to ready`,
          ours: wall("full"),
          peer: { name: "empty folder", value: wall("node") },
        },
      ],
      samples,
    };
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** A user's project with one task, whose handler may be edited; Millrace is linked into it, as `npm link` does. */
function makeProject(folder: string): string {
  const modules = join(folder, "node_modules");
  mkdirSync(join(modules, ".bin"), { recursive: true });
  symlinkSync(PROJECT, join(modules, "millrace"));
  symlinkSync(join(PROJECT, "node_modules", "@pulumi"), join(modules, "@pulumi"));
  symlinkSync(join("..", "millrace", "bin", "millrace.js"), join(modules, ".bin", "millrace"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "bench", private: true, type: "module" }));
  writeFileSync(join(folder, "Pulumi.yaml"), "name: bench\nruntime: nodejs\nmain: index.ts\n");
  const program = readFileSync(join(PROJECT, "bench", "programs", "tasks.ts"), "utf8");
  writeFileSync(join(folder, "index.ts"), program.replaceAll('"../../lib/', `"${PROJECT}lib/`));
  writeFileSync(join(folder, "noop.ts"), "export const handler = async () => 0;\n");
  return folder;
}

/** Half of them finished, half waiting for tomorrow. */
async function fillJournal(project: string, folder: string, count: number): Promise<void> {
  const { host, close } = await startDev({ project, folder, watch: false, onEvent: () => {} });
  const { tasks } = host;
  for (let done = 0; done < count; done += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, count - done) }, (_, index) => done + index);
    await Promise.all(
      numbers.map((number) =>
        tasks.submit("noop-task", { number }, { id: `task-${number}`, ...(number % 2 === 1 && { delay: "1 day" }) }),
      ),
    );
  }
  // First in, first out: with the last of those that run now, all have run.
  await tasks.wait("noop-task", `task-${count - 2}`);
  await host.idle();
  await close();
}

/** Submits under way at once. */
const BATCH = 1000;

/** A running `millrace dev --json`, and the lines it writes. */
class Dev {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = "";

  constructor([command, ...args]: readonly [string, ...string[]], project: string, folder: string) {
    this.#child = spawn(command, [...args, "dev", "--json", "--folder", folder], {
      cwd: project,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next line of that type. */
  async next(type: string): Promise<Record<string, unknown>> {
    while (true) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`millrace dev ended before it wrote "${type}": ${this.#errors}`);
      const line = JSON.parse(value) as Record<string, unknown>;
      if (line.type === "edit.refused") throw new Error(`the edit was refused: ${line.message}`);
      if (line.type === type) return line;
    }
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, "exit");
    process.kill(-this.#child.pid!, "SIGINT");
    await ended;
  }
}

async function startOnce(launcher: readonly [string, ...string[]], project: string, folder: string): Promise<Cost> {
  const { value, ...cost } = await measure(async () => {
    const dev = new Dev(launcher, project, folder);
    await dev.next("ready");
    return dev;
  });
  await value.stop();
  return cost;
}

async function editOnce(launcher: readonly [string, ...string[]], project: string, folder: string): Promise<Cost> {
  const dev = new Dev(launcher, project, folder);
  try {
    await dev.next("ready");
    const answer = Math.floor(performance.now() * 1000);
    const { value: _, ...cost } = await measure(async () => {
      writeFileSync(join(project, "noop.ts"), `export const handler = async () => ${answer};\n`);
      return dev.next("code.changed");
    });
    const { tasks } = connectLocal({ folder });
    await tasks.submit("noop-task", {}, { id: "after" });
    const { resultPreview } = await tasks.wait("noop-task", "after");
    if (resultPreview !== String(answer)) throw new Error(`old code ran after code.changed: ${resultPreview}`);
    return cost;
  } finally {
    await dev.stop();
  }
}
