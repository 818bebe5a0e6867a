import type { Backoff } from "../../../runtime/tasks/definition.ts";
import type { ConsumerAddress } from "./pull.ts";

/** What a deployment tells a function's process of its calls and events, as JSON in `MILLRACE_FUNCTION`. Durations are seconds. */
export interface FunctionJson extends ConsumerAddress {
  /** Its physical name. */
  readonly function: string;
  /** Of its calls. */
  readonly subject: string;
  readonly timeout: number;
  readonly attempts: number;
  readonly backoff: Backoff;
  /** The subject of what failed every attempt. @default it is dropped, and logged; records of a stream come again */
  readonly failures?: string;
  /** Where that something failed is told, for whoever counts it; in place of `failures`. @default nobody is told */
  readonly failed?: string;
  /** Invocations at once in this process. */
  readonly concurrency: number;
  readonly queues: readonly QueueSource[];
  readonly buckets: readonly BucketSource[];
  readonly streams: readonly StreamSource[];
}

/** A topic of a Kafka, and whose place in it is kept. */
export interface StreamSource {
  /** Its logical name. */
  readonly stream: string;
  readonly topic: string;
  /** `host:port`, with commas between them. */
  readonly brokers: string;
  /** `true` or `false`. */
  readonly tls: string;
  /** Who vouches for the brokers: certificates as base64, with commas between them. */
  readonly ca?: string;
  readonly mechanism?: string;
  /** Where the secret lies that says who connects. @default nobody is asked */
  readonly user?: { readonly secret: string; readonly path: string };
  readonly group: string;
  readonly batch: number;
  /** How long records are waited for once there is one. */
  readonly window: number;
  readonly from: "earliest" | "latest";
}

export interface QueueSource extends ConsumerAddress {
  /** Its logical name. */
  readonly queue: string;
  readonly attempts?: number;
  /** The subject of what was received too often. */
  readonly deadLetters?: string;
  readonly batch: number;
  /** How long messages are waited for once there is one. */
  readonly window: number;
}

export type BucketSource = {
  /** Its logical name. */
  readonly bucket: string;
  readonly physical: string;
  readonly prefix: string;
  readonly suffix: string;
  readonly endpoint: string;
  readonly region: string;
} & (
  | ({ readonly how: "notifications" } & ConsumerAddress)
  | { readonly how: "listing" /** The table of what has been seen. */; readonly journal: string }
);

/** @throws an error that names the variable. */
export function readFunctionJson({
  MILLRACE_FUNCTION: text,
}: Readonly<Record<string, string | undefined>>): FunctionJson {
  if (text) return JSON.parse(text) as FunctionJson;
  throw new Error("the environment variable MILLRACE_FUNCTION is missing: this function was not deployed by Millrace");
}
