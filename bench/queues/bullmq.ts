import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { type Connection, installBullMq, loadBullMq } from "./bullmq-package.ts";
import type { Contender } from "./contender.ts";

const QUEUE = "noop";
/** BullMQ takes jobs without a priority first, then by number. https://docs.bullmq.io/guide/jobs/prioritized */
const ORDINARY = 10;

/**
 * BullMQ with a Redis of its own and one worker process.
 *
 * @param options.isDurable Redis writes an append-only file, flushed every second; else it keeps all in memory
 */
export async function start(
  folder: string,
  concurrency: number,
  { isDurable }: { readonly isDurable: boolean },
): Promise<Contender> {
  installBullMq();
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const redis = spawn(
    process.env.MILLRACE_REDIS ?? "redis-server",
    [
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--daemonize", "no"],
      ...["--appendonly", isDurable ? "yes" : "no", "--appendfsync", "everysec", "--loglevel", "warning"],
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  await listening(port, redis);
  const connection: Connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
  const worker = fork(new URL("./bullmq-worker.ts", import.meta.url), [QUEUE, String(port), String(concurrency)]);
  await once(worker, "message");
  const queue = new (loadBullMq().Queue)(QUEUE, { connection });
  return {
    concurrency,
    async submit(id, job, { urgent = false } = {}) {
      await queue.add(QUEUE, job, { jobId: id, ...(!urgent && { priority: ORDINARY }) });
    },
    async state(id) {
      const state = (await (await queue.getJob(id))?.getState()) ?? "missing";
      if (state === "failed" || state === "missing") throw new Error(`${id}: ${state}`);
      return state === "completed" ? "finished" : state === "active" ? "running" : "waiting";
    },
    async result(id) {
      return Number((await queue.getJob(id))?.returnvalue);
    },
    async close() {
      await queue.close();
      await end(worker, () => worker.disconnect());
      await end(redis, () => redis.kill("SIGTERM"));
    },
  };
}

async function end(process: ReturnType<typeof spawn>, ask: () => void): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const ended = once(process, "exit");
  ask();
  await ended;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function listening(port: number, redis: ReturnType<typeof spawn>): Promise<void> {
  let failed: Error | undefined;
  redis.once("error", (error) => {
    failed = new Error(`redis-server cannot be started: ${error.message}; apt install redis-server, or MILLRACE_REDIS`);
  });
  for (let tries = 0; tries < 200; tries += 1) {
    if (failed) throw failed;
    const socket = connect(port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`redis-server does not listen on port ${port}`);
}
