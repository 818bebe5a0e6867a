import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LocalSession, startDev } from "../lib/clouds/local/dev.ts";
import { ffmpegTool, PROJECT } from "./machine.ts";
import { type Cost, type Measured, measure } from "./measure.ts";

/** A fresh local cloud with the video pipelines of a program, in a folder of its own. */
export async function withPipelines<Value>(
  work: (session: LocalSession) => Promise<Value>,
  program = "videos.ts",
  host: { /** Processes at once. @default as many as there are processors */ readonly concurrency?: number } = {},
): Promise<Value> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const session = await startDev({
    program: join(PROJECT, "bench", "programs", program),
    project: PROJECT,
    folder,
    watch: false,
    onEvent: () => {},
    host,
  });
  try {
    return await work(session);
  } finally {
    await session.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** What one video through a pipeline gave: the calls of ffmpeg, and the bytes made. */
export interface Transcoded {
  readonly steps: readonly (readonly string[])[];
  readonly bytes: number;
}

/** Uploads the file and waits until its run has ended and its outputs are in the bucket. */
export async function upload(session: LocalSession, pipeline: string, file: string): Promise<Measured<Transcoded>> {
  const { host } = session;
  const task = `${pipeline}-transcode`;
  const ended = new Promise<string>((resolve, reject) => {
    const unsubscribe = host.onChange((change) => {
      if (change.type !== "task.changed" || change.task.task !== task || !change.task.ended) return;
      unsubscribe();
      if (change.task.status === "succeeded") resolve(change.task.id);
      else reject(new Error(`${task} ${change.task.status}: ${change.task.error?.message}`));
    });
  });
  const { value: id, ...cost } = await measure(async () => {
    await host.buckets.writer(`${pipeline}-uploads`).put("film.mp4", createReadStream(file));
    return ended;
  });
  const objects = await host.buckets.reader(`${pipeline}-outputs`).list();
  const bytes = objects.objects.reduce((sum, { size }) => sum + size, 0);
  if (bytes === 0) throw new Error(`${task}: nothing was made`);
  return { ...cost, value: { steps: await stepsOf(session, task, id), bytes } };
}

/** The arguments of every call of ffmpeg, from the run's log. */
async function stepsOf({ host }: LocalSession, task: string, id: string): Promise<readonly (readonly string[])[]> {
  const steps: (readonly string[])[] = [];
  for await (const { fields } of host.tasks.logs(task, id)) {
    if (Array.isArray(fields?.args)) steps.push(fields.args as string[]);
  }
  if (steps.length === 0) throw new Error(`${task} "${id}": its log tells of no call of ffmpeg`);
  return steps;
}

/** The arguments a pipeline uses for one format alone: the run is stopped once its log tells them. */
export async function argsAlone(session: LocalSession, file: string, format: string): Promise<readonly string[]> {
  const { host } = session;
  const task = "one-transcode";
  await host.buckets.writer("one-uploads").put("alone.mp4", createReadStream(file));
  const { id } = await host.tasks.submit(task, { object: "alone.mp4", dst_format: format });
  try {
    for await (const { fields } of host.tasks.logs(task, id, { follow: true })) {
      if (Array.isArray(fields?.args)) return fields.args as string[];
    }
  } finally {
    await host.tasks.stop(task, id);
  }
  throw new Error(`${task} "${id}": its log tells of no call of ffmpeg`);
}

/** The same calls without us: ffmpeg alone, in a folder where `input` is the file, writing beside it. */
export async function bareFfmpeg(file: string, steps: readonly (readonly string[])[]): Promise<Cost> {
  const { path } = await ffmpegTool();
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  try {
    await mkdir(folder, { recursive: true });
    await symlink(file, join(folder, "input"));
    const { wall, cpu } = await measure(async () => {
      for (const args of steps) await call(path, args, folder);
    });
    return { wall, cpu };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function call(ffmpeg: string, args: readonly string[], cwd: string): Promise<void> {
  const child = spawn(ffmpeg, ["-nostdin", "-hide_banner", "-nostats", "-loglevel", "error", "-y", ...args], {
    cwd,
    // Static builds crash on the converters of a machine with another C library, as in lib/handlers/video/tool.ts.
    env: { ...process.env, GCONV_PATH: "/nonexistent" },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}: ${args.join(" ")}`);
}

/** A call of ffmpeg for reading: the long lists of what a stranger's file may be are left out. */
export const renderArgs = (args: readonly string[]): string =>
  `ffmpeg ${args.map((arg) => (arg.split(",").length > 9 ? "…" : arg)).join(" ")}`;
