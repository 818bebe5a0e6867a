import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { LocalClient } from "../../lib/clouds/local/client.ts";
import type { TranscodeResult } from "../../lib/handlers/video/transcode.ts";
import type { Envelope, Task } from "../../lib/runtime/index.ts";
import { type LocalCloud, type StartLocalOptions, startLocal } from "../../lib/testing/index.ts";
import { tools } from "../media.ts";

export const PROJECT = fileURLToPath(new URL("../..", import.meta.url));
export const VIDEOS = fileURLToPath(new URL("./programs/videos.ts", import.meta.url));
export const UPLOADS = "videos-uploads";
export const OUTPUTS = "videos-outputs";
export const REQUESTS = "videos-requests";
export const FAILURES = "videos-failures";
/** Where the programs tell of every success. */
export const DONE = "done-messages";

/** A folder for a local cloud, and what the programs in `programs/` need of the environment. */
export interface Scene {
  /** The local cloud's folder. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  start(options?: Omit<StartLocalOptions, "folder">): Promise<LocalCloud>;
  /** What the hooks have noted. */
  notes(): readonly Note[];
}

export interface Note {
  readonly event: string;
  readonly run: string;
  readonly status: string;
}

/** Gone when the test is over, its clouds first. */
export function scene(): Scene {
  const home = mkdtempSync(join(tmpdir(), "millrace-scene-"));
  const folder = join(home, "cloud");
  const book = join(home, "book.jsonl");
  const clouds: LocalCloud[] = [];
  const env = { MILLRACE_FFMPEG: tools.ffmpeg, MILLRACE_FFPROBE: tools.ffprobe, MILLRACE_TEST_BOOK: book };
  onTestFinished(async () => {
    for (const cloud of clouds) await cloud.close();
    rmSync(home, { recursive: true, force: true });
  });
  return {
    folder,
    env,
    async start(options) {
      Object.assign(process.env, env);
      const cloud = await startLocal({ program: VIDEOS, project: PROJECT, ...options, folder });
      clouds.push(cloud);
      return cloud;
    },
    notes: () =>
      existsSync(book)
        ? readFileSync(book, "utf8")
            .split("\n")
            .filter((line) => line !== "")
            .map((line) => JSON.parse(line) as Note)
        : [],
  };
}

export const put = async (cloud: LocalClient, key: string, content: string | Uint8Array, bucket = UPLOADS) =>
  cloud.buckets.bucket(bucket).put(key, content);

export const putFile = async (cloud: LocalClient, key: string, path: string) => put(cloud, key, await readFile(path));

/** Every run of the task, oldest first. */
export async function runs(cloud: LocalClient, task = "videos"): Promise<readonly Task[]> {
  const found: Task[] = [];
  for (let cursor: string | undefined; ; ) {
    const { tasks, next } = await cloud.tasks.list(task, { order: "oldest", ...(cursor && { cursor }) });
    found.push(...tasks);
    if (next === undefined) return found;
    cursor = next;
  }
}

export const payloadOf = (task: Task): unknown => JSON.parse(task.payloadPreview);

/** The runs of an object, oldest first. */
export const runsOf = async (cloud: LocalClient, object: string): Promise<readonly Task[]> =>
  (await runs(cloud)).filter((task) => (payloadOf(task) as { object?: unknown } | null)?.object === object);

export async function keys(cloud: LocalClient, bucket = OUTPUTS): Promise<readonly string[]> {
  const found: string[] = [];
  for (let after: string | undefined; ; ) {
    const { objects, next } = await cloud.buckets.bucket(bucket).list(after === undefined ? {} : { after });
    found.push(...objects.map(({ key }) => key));
    if (next === undefined) return found;
    after = next;
  }
}

/** What a queue holds: envelopes of runs. */
export const envelopes = async (cloud: LocalClient, queue = FAILURES): Promise<readonly Envelope[]> =>
  (await cloud.queues.peek(queue, 1000)).map(({ body }) => JSON.parse(body) as Envelope);

export async function resultOf(cloud: LocalClient, { task, id }: Task): Promise<TranscodeResult> {
  return (await cloud.tasks.audit(task, id))?.result as TranscodeResult;
}

/** The object as a file, with all that lies in its folder beside it, under names that every file system takes. */
export async function download(cloud: LocalClient, key: string): Promise<string> {
  const home = mkdtempSync(join(tmpdir(), "millrace-download-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const bucket = cloud.buckets.bucket(OUTPUTS);
  const prefix = key.slice(0, key.lastIndexOf("/") + 1);
  const { objects } = await bucket.list({ prefix });
  for (const object of objects) {
    const path = join(home, object.key.slice(prefix.length));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, await bucket.get(object.key));
  }
  return join(home, key.slice(prefix.length));
}

/** Whatever still runs that was started for this folder: its path is in the process's environment or arguments. */
export function processesOf(folder: string): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const text = ["cmdline", "environ"].map((file) => readFileSync(`/proc/${pid}/${file}`, "utf8")).join("\0");
        return text.includes(folder) ? [`${pid} ${text.split("\0").slice(0, 3).join(" ")}`] : [];
      } catch {
        return [];
      }
    });
}

/** Files that only a run under way may have. */
export const leftFiles = (folder: string): readonly string[] =>
  ["scratch", "staging"]
    .filter((name) => existsSync(join(folder, name)))
    .flatMap((name) => readdirSync(join(folder, name)).map((file) => `${name}/${file}`));
