import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { CACHE } from "../samples.ts";

const VERSIONS = { bullmq: "6.7.0", ioredis: "6.0.0" };
const FOLDER = join(CACHE, `bullmq-${VERSIONS.bullmq}`);

/** Where Redis listens. */
export interface Connection {
  readonly host: string;
  readonly port: number;
  /** BullMQ's workers ask for it. https://docs.bullmq.io/guide/connections */
  readonly maxRetriesPerRequest: null;
}

/** What the bench uses of BullMQ. */
export interface BullMq {
  readonly Queue: new (name: string, options: { connection: Connection }) => Queue;
  readonly Worker: new (
    name: string,
    processor: (job: { readonly data: never }) => Promise<unknown>,
    options: { connection: Connection; concurrency: number },
  ) => { waitUntilReady(): Promise<unknown>; close(): Promise<void> };
}

export interface Queue {
  add(name: string, data: object, options: { jobId: string; priority?: number }): Promise<unknown>;
  getJob(id: string): Promise<{ readonly returnvalue: unknown; getState(): Promise<string> } | undefined>;
  close(): Promise<void>;
}

/** Installs BullMQ beside the repository's own packages, once; it is no dependency of ours. */
export function installBullMq(): void {
  if (existsSync(join(FOLDER, "node_modules", "bullmq"))) return;
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, "package.json"), JSON.stringify({ private: true, dependencies: VERSIONS }));
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"], {
    cwd: FOLDER,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/** The installed one. */
export const loadBullMq = (): BullMq => createRequire(join(FOLDER, "_"))("bullmq") as BullMq;
