import { resolve } from "node:path";
import { Readable } from "node:stream";
import type { Plan } from "../../parts/plan.ts";
import { type ErrorRecord, fromErrorRecord, MillraceError } from "../../runtime/errors.ts";
import type { BucketReader, BucketRemover, BucketWriter, ObjectInfo, SendOptions } from "../../runtime/ports.ts";
import type { PeekedMessage, QueueStats } from "../../runtime/system.ts";
import type { BulkFilter, BulkOptions, BulkOutcome, BulkTaskClient } from "../../runtime/tasks/bulk.ts";
import { type Endpoint, readEndpoint } from "./endpoint.ts";
import type { calls, streams } from "./host/api.ts";
import type { LocalChange, RedriveOptions } from "./host/inspect.ts";

/** A local cloud by its folder, or by its address. */
export type LocalTarget = { readonly folder: string } | { readonly url: string; readonly token: string };

/** All that can be done with a running local cloud from outside. */
export interface LocalClient {
  readonly tasks: BulkTaskClient;
  readonly buckets: BucketsClient;
  readonly queues: QueuesClient;
  plan(): Promise<Plan>;
  /** Everything that happens from now on; ends with the signal. */
  changes(signal?: AbortSignal): AsyncIterable<LocalChange>;
}

export interface BucketsClient {
  /** The buckets' names. */
  list(): Promise<readonly string[]>;
  bucket(name: string): BucketClient;
}

/** Reads, writes and removes the objects of one bucket. */
export type BucketClient = Pick<BucketReader, "bucket" | "head" | "get" | "stream" | "list"> &
  Pick<BucketWriter, "put"> &
  BucketRemover;

export interface QueuesClient {
  stats(queue: string): Promise<QueueStats>;
  /** The first messages, oldest first, without receiving them; 1 to 1,000. */
  peek(queue: string, limit: number): Promise<readonly PeekedMessage[]>;
  /** The message's id. */
  send(queue: string, body: string, options?: SendOptions): Promise<string>;
  /** Moves messages to another queue, by default back to the one they failed in; how many. */
  redrive(queue: string, options?: RedriveOptions): Promise<number>;
}

/**
 * Speaks with a local cloud by HTTP. The address is looked up at every call, so one client outlives restarts of
 * `millrace dev`.
 *
 * Every method throws `MillraceError`s; `unavailable` when no local cloud runs there.
 */
export function connectLocal(target: LocalTarget): LocalClient {
  const wire = new Wire(target);
  return {
    tasks: tasksOver(wire),
    buckets: {
      list: () => wire.call("buckets.list", {}),
      bucket: (name) => bucketOver(wire, name),
    },
    queues: {
      stats: (queue) => wire.call("queues.stats", { queue }),
      peek: (queue, limit) => wire.call("queues.peek", { queue, limit }),
      send: (queue, body, options) => wire.call("queues.send", { queue, body, ...options }),
      redrive: (queue, options) => wire.call("queues.redrive", { queue, ...options }),
    },
    plan: () => wire.call("plan", {}),
    changes: (signal) => wire.stream("changes", {}, signal),
  };
}

function tasksOver(wire: Wire): BulkTaskClient {
  return {
    submit: (task, payload, options) =>
      wire.call("tasks.submit", { task, payload: payload ?? null, ...(options && { options }) }),
    get: (task, id) => wire.call("tasks.get", { task, id }),
    list: (task, filter) => wire.call("tasks.list", { task, ...(filter && { filter }) }),
    stop: (task, id, options) => wire.call("tasks.stop", { task, id, ...options }),
    retry: (task, id, options) => wire.call("tasks.retry", { task, id, ...options }),
    audit: (task, id) => wire.call("tasks.audit", { task, id }),
    logs: (task, id, { signal, ...options } = {}) => wire.stream("tasks.logs", { task, id, ...options }, signal),
    async wait(task, id, { signal, onProgress } = {}) {
      for await (const step of wire.stream("tasks.wait", { task, id }, signal)) {
        if ("ended" in step) return step.ended;
        onProgress?.(step.progress);
      }
      return lost();
    },
    stopAll: (task, filter, options) => bulkOver(wire, "tasks.stopAll", task, filter, options),
    retryAll: (task, filter, options) => bulkOver(wire, "tasks.retryAll", task, filter, options),
  };
}

async function bulkOver(
  wire: Wire,
  verb: "tasks.stopAll" | "tasks.retryAll",
  task: string,
  filter: BulkFilter,
  { signal, onProgress, ...options }: BulkOptions = {},
): Promise<BulkOutcome> {
  for await (const step of wire.stream(verb, { task, filter, ...options }, signal)) {
    if ("outcome" in step) return step.outcome;
    onProgress?.(step.progress);
  }
  return lost();
}

function bucketOver(wire: Wire, bucket: string): BucketClient {
  const stream: BucketClient["stream"] = async (key, { range, ifMatch } = {}) => {
    const query = {
      bucket,
      key,
      ...(range && { first: `${range[0]}`, last: `${range[1]}` }),
      ...(ifMatch && { ifMatch }),
    };
    const { body } = await wire.fetch(`/api/object?${new URLSearchParams(query)}`, { method: "GET" });
    return body ? Readable.fromWeb(body as import("node:stream/web").ReadableStream) : Readable.from([]);
  };
  return {
    bucket,
    head: (key) => wire.call("buckets.head", { bucket, key }),
    list: (options) => wire.call("buckets.objects", { bucket, ...options }),
    stream,
    async get(key, options) {
      return Buffer.concat(await (await stream(key, options)).toArray());
    },
    async put(key, body, { metadata, ...options } = {}) {
      const query = { bucket, key, ...options, ...(metadata && { metadata: JSON.stringify(metadata) }) };
      const response = await wire.fetch(`/api/object?${new URLSearchParams(query)}`, {
        method: "PUT",
        body: (body instanceof Readable ? Readable.toWeb(body) : body) as RequestInit["body"] & {},
        ...(body instanceof Readable && { duplex: "half" }),
      });
      return unwrap<ObjectInfo>(await response.json());
    },
    remove: (key) => wire.call("buckets.remove", { bucket, key }),
  };
}

type Calls = typeof calls;
type Streams = typeof streams;
type ArgsOf<C extends { args: { _zod: { input: unknown } } }> = C["args"]["_zod"]["input"];
type AnswerOf<C extends { answer: (...args: never[]) => unknown }> = Awaited<ReturnType<C["answer"]>>;
type ItemOf<C extends { answer: (...args: never[]) => unknown }> =
  ReturnType<C["answer"]> extends AsyncIterable<infer Item> ? Item : never;

/** Sends calls, reads answers, turns errors back. */
class Wire {
  readonly #target: LocalTarget;

  constructor(target: LocalTarget) {
    this.#target = target;
  }

  async call<Name extends keyof Calls>(name: Name, args: ArgsOf<Calls[Name]>): Promise<AnswerOf<Calls[Name]>> {
    const response = await this.#post(name, args);
    return unwrap<AnswerOf<Calls[Name]>>(await response.json());
  }

  async *stream<Name extends keyof Streams>(
    name: Name,
    args: ArgsOf<Streams[Name]>,
    signal?: AbortSignal,
  ): AsyncGenerator<ItemOf<Streams[Name]>, void, undefined> {
    const response = await this.#post(name, args, signal);
    try {
      for await (const line of linesOf(response)) yield unwrap<ItemOf<Streams[Name]>>(JSON.parse(line));
    } catch (error) {
      throw this.#explain(error, signal);
    }
  }

  /** An answer that is not an error. */
  async fetch(path: string, init: RequestInit & { readonly duplex?: "half" }): Promise<Response> {
    const { url, token } = await this.#endpoint();
    let response: Response;
    try {
      response = await fetch(`${url}${path}`, {
        ...init,
        headers: { ...init.headers, authorization: `Bearer ${token}` },
      });
    } catch (error) {
      throw this.#explain(error, init.signal ?? undefined);
    }
    if (response.ok) return response;
    const { error } = (await response.json().catch(() => ({}))) as { error?: ErrorRecord };
    throw error ? fromErrorRecord(error) : this.#nobody();
  }

  #post(name: string, args: unknown, signal?: AbortSignal): Promise<Response> {
    return this.fetch(`/api/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(args),
      ...(signal && { signal }),
    });
  }

  async #endpoint(): Promise<Pick<Endpoint, "url" | "token">> {
    if ("url" in this.#target) return this.#target;
    const endpoint = await readEndpoint(this.#target.folder);
    if (!endpoint) throw this.#nobody();
    return endpoint;
  }

  #explain(error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (error instanceof MillraceError) return error;
    const { code } = ((error as Error).cause ?? {}) as { code?: string };
    if (code === "ECONNREFUSED") return this.#nobody(error);
    return new MillraceError("unavailable", `the local cloud went away: ${code ?? (error as Error).message}`, {
      cause: error,
    });
  }

  #nobody(cause?: unknown): MillraceError {
    const where = "url" in this.#target ? `at ${this.#target.url}` : `in ${resolve(this.#target.folder)}`;
    return new MillraceError("unavailable", `no local cloud runs ${where}; start it with: millrace dev`, { cause });
  }
}

/** What an answer or a line of a stream holds; throws the error it tells of. */
function unwrap<Value>(answer: unknown): Value {
  const { value, error } = answer as { readonly value?: Value; readonly error?: ErrorRecord };
  if (error) throw fromErrorRecord(error);
  return value as Value;
}

/** The lines of a body, without the empty ones that only keep it open. */
async function* linesOf({ body }: Response): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body ?? []) {
    const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines.filter((line) => line !== "");
  }
}

function lost(): never {
  throw new MillraceError("unavailable", "the local cloud ended its answer early");
}
