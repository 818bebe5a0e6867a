import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { CACHE } from "../samples.ts";

const VERSION = "2.2.4";
const FOLDER = join(CACHE, `kafkajs-${VERSION}`);

/** What the bench uses of kafkajs. */
export interface KafkaJs {
  readonly Kafka: new (options: {
    clientId: string;
    brokers: readonly string[];
    logLevel: number;
  }) => {
    producer(options: { idempotent: boolean; maxInFlightRequests: number }): {
      connect(): Promise<void>;
      send(options: { topic: string; acks: number; messages: readonly Sent[] }): Promise<unknown>;
      disconnect(): Promise<void>;
    };
    consumer(options: { groupId: string; maxWaitTimeInMs: number; readUncommitted: boolean }): {
      connect(): Promise<void>;
      subscribe(options: { topic: string; fromBeginning: boolean }): Promise<void>;
      run(options: {
        autoCommit: boolean;
        eachBatchAutoResolve: boolean;
        partitionsConsumedConcurrently: number;
        eachBatch(payload: {
          readonly batch: { readonly partition: number; readonly messages: readonly Received[] };
          resolveOffset(offset: string): void;
          heartbeat(): Promise<void>;
          commitOffsetsIfNecessary(offsets: unknown): Promise<void>;
        }): Promise<void>;
      }): Promise<void>;
      disconnect(): Promise<void>;
    };
  };
}

export interface Sent {
  readonly key: Buffer | null;
  readonly value: string;
}

export interface Received {
  readonly key: Buffer | null;
  readonly value: Buffer;
  readonly offset: string;
}

/** Installs kafkajs beside the repository's own packages, once; it is no dependency of ours. */
export function installKafkaJs(): void {
  if (existsSync(join(FOLDER, "node_modules", "kafkajs"))) return;
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, "package.json"), JSON.stringify({ private: true, dependencies: { kafkajs: VERSION } }));
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"], {
    cwd: FOLDER,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/** The installed one. */
export const loadKafkaJs = (): KafkaJs => createRequire(join(FOLDER, "_"))("kafkajs") as KafkaJs;
