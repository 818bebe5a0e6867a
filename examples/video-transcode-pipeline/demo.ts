/**
 * The main job on this machine: three videos and a file that is none are uploaded, each becomes one run, and what
 * became of every run is shown. Run it by `npm run demo`.
 */
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { renderRunBar, renderStatus } from "../../lib/cli/render/run.ts";
import { renderTable } from "../../lib/cli/render/table.ts";
import { clip, plain } from "../../lib/cli/render/text.ts";
import { formatBetween } from "../../lib/cli/render/time.ts";
import { processTerminal } from "../../lib/cli/terminal.ts";
import { type LocalSession, startDev } from "../../lib/clouds/local/dev.ts";
import { findTool } from "../../lib/clouds/local/host/tools.ts";
import { isFinal, type Task } from "../../lib/runtime/tasks/task.ts";
import { formatBytes } from "../../lib/shared/size.ts";
import { makeSamples } from "./samples.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = join(PROJECT, ".millrace", "demo");
const TASK = "videos-transcode";
const REMARK = 56;

const terminal = processTerminal(process);
const { bold, dim } = terminal.colors;
const NEXT = `${bold("Next")}
  play them                     ${relative(process.cwd(), join(FOLDER, "buckets", "videos-outputs"))}
  look at the stack             npx millrace synth
  run it, and keep it running   npx millrace dev
  then, in another terminal     npx millrace buckets put videos-uploads <a video of yours>
                                npx millrace tasks list videos`;

const interrupt = new AbortController();
process.once("SIGINT", () => interrupt.abort(new Error("stopped by Ctrl-C")));
process.exitCode = await main().catch((error: Error) => {
  terminal.note(`demo: ${error.message}`);
  return interrupt.signal.aborted ? 130 : 1;
});

async function main(): Promise<number> {
  rmSync(FOLDER, { recursive: true, force: true });
  const samples = await step("making three sample videos", takeSamples);
  const session = await step("starting the local cloud", () =>
    startDev({
      program: "examples/video-transcode-pipeline/index.ts",
      project: PROJECT,
      folder: FOLDER,
      watch: false,
      onEvent: (event) => event.type === "warned" && terminal.note(dim(`  ${event.message}`)),
    }),
  );
  try {
    for (const sample of samples) await upload(session, sample);
    const runs = await watchRuns(session, samples.length);
    terminal.print(`\n${renderOutcome(runs)}`);
    terminal.print(`\n${await renderFiles(session)}`);
    terminal.print(`\n${await renderFailures(session)}`);
    terminal.print(`\n${NEXT}`);
    return runs.filter(({ status }) => status === "succeeded").length === samples.length - 1 ? 0 : 1;
  } finally {
    await session.close();
    rmSync(join(samples[0]!, ".."), { recursive: true, force: true });
  }
}

async function step<Result>(label: string, work: () => Promise<Result>): Promise<Result> {
  const began = performance.now();
  const result = await work();
  terminal.print(`${label} ${dim(`${((performance.now() - began) / 1000).toFixed(1)} s`)}`);
  interrupt.signal.throwIfAborted();
  return result;
}

async function takeSamples(): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-demo-"));
  const { path } = await findTool("ffmpeg", { environment: process.env, project: PROJECT, cache: folder });
  return makeSamples(path, folder);
}

async function upload({ host }: LocalSession, file: string): Promise<void> {
  const { key, size } = await host.buckets.writer("videos-uploads").put(basename(file), createReadStream(file));
  terminal.print(`put ${key} ${dim(formatBytes(size))}`);
}

/** Bars while runs are at work; resolves once every one is over. */
async function watchRuns({ host }: LocalSession, expected: number): Promise<readonly Task[]> {
  const live = terminal.live();
  const runs = new Map<string, Task>();
  const show = () =>
    live.show(
      [...runs.values()]
        .filter(({ status }) => !isFinal(status))
        .map((run) => renderRunBar(run, terminal.colors))
        .join("\n"),
    );
  await new Promise<void>((resolve, reject) => {
    const unsubscribe = host.onChange((change) => {
      if (change.type !== "task.changed") return;
      const before = runs.get(change.task.id)?.status;
      runs.set(change.task.id, change.task);
      if (!terminal.isLive && before !== change.task.status) terminal.print(`${change.task.id} ${change.task.status}`);
      show();
      if ([...runs.values()].filter(({ status }) => isFinal(status)).length < expected) return;
      unsubscribe();
      resolve();
    });
    interrupt.signal.addEventListener("abort", () => reject(interrupt.signal.reason), { once: true });
    // Runs may have ended before anybody listened.
    void host.tasks.list(TASK).then(({ tasks }) => {
      for (const task of tasks) if (!runs.has(task.id)) runs.set(task.id, task);
      if (tasks.filter(({ status }) => isFinal(status)).length === expected) resolve();
    }, reject);
  }).finally(() => live.clear());
  return [...runs.values()];
}

function renderOutcome(runs: readonly Task[]): string {
  const rows = runs.map(({ id, status, started, ended, error }) => [
    id,
    renderStatus(status, terminal.colors),
    started && ended ? formatBetween(started, ended) : "",
    clip(plain(error?.message ?? ""), REMARK),
  ]);
  return renderTable(["RUN", "STATUS", "TOOK", ""], rows, terminal);
}

async function renderFiles({ host }: LocalSession): Promise<string> {
  const { objects } = await host.buckets.reader("videos-outputs").list();
  const rows = objects.map(({ key, size }) => [plain(key), formatBytes(size)]);
  return renderTable(["FILES IN videos-outputs", "SIZE"], rows, terminal);
}

async function renderFailures({ host }: LocalSession): Promise<string> {
  const messages = await host.queues.peek("videos-failures", 10);
  const rows = messages.map(({ body }) => {
    const { task, requestPayload } = JSON.parse(body) as { task: { id: string }; requestPayload: string };
    return [task.id, clip(plain(requestPayload), REMARK)];
  });
  return renderTable(["MESSAGES IN videos-failures", "PAYLOAD"], rows, terminal);
}
