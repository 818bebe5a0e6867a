import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { resolve } from "node:path";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import type { Plan } from "../../parts/plan.ts";
import { type ErrorRecord, fromErrorRecord, MillraceError } from "../../runtime/errors.ts";
import type { BucketReader, BucketRemover, BucketWriter, ObjectInfo, SendOptions } from "../../runtime/ports.ts";
import { newRecordToWire, recordFromWire, type WireNewRecord } from "../../runtime/stream-records.ts";
import type { RecordPlace, StreamClient } from "../../runtime/streams.ts";
import type { PeekedMessage, QueueStats } from "../../runtime/system.ts";
import type { BulkFilter, BulkOptions, BulkOutcome, BulkTaskClient } from "../../runtime/tasks/bulk.ts";
import type { WorkflowClient } from "../../runtime/workflows/run.ts";
import { type Endpoint, readEndpoint } from "./endpoint.ts";
import type { calls, streams } from "./host/api.ts";
import type { LocalChange, RedriveOptions } from "./host/inspect.ts";

/** A local cloud by its folder, or by its address. */
export type LocalTarget = { readonly folder: string } | { readonly url: string; readonly token: string };

/** All that can be done with a running local cloud from outside. */
export interface LocalClient {
  readonly tasks: BulkTaskClient;
  readonly workflows: WorkflowClient;
  readonly buckets: BucketsClient;
  readonly queues: QueuesClient;
  readonly streams: StreamClient;
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
    workflows: workflowsOver(wire),
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
    streams: streamsOver(wire),
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

const workflowsOver = (wire: Wire): WorkflowClient => ({
  start: (workflow, input, options) => wire.call("workflows.start", { workflow, input: input ?? null, ...options }),
  get: (workflow, id) => wire.call("workflows.get", { workflow, id }),
  list: (workflow, filter) => wire.call("workflows.list", { workflow, ...(filter && { filter }) }),
  stop: (workflow, id) => wire.call("workflows.stop", { workflow, id }),
  retry: (workflow, id) => wire.call("workflows.retry", { workflow, id }),
  answer: (callback, answer) =>
    wire.call("workflows.answer", { callback, answer: "error" in answer ? answer : { output: answer.output ?? null } }),
});

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
    return wire.send("GET", `/api/object?${new URLSearchParams(query)}`);
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
      return unwrap<ObjectInfo>(
        await json(await wire.send("PUT", `/api/object?${new URLSearchParams(query)}`, { body })),
      );
    },
    remove: (key) => wire.call("buckets.remove", { bucket, key }),
  };
}

/** Bytes of records in one request, in base64; a larger record goes alone. */
const REQUEST_BYTES = 4 * 2 ** 20;
const REQUEST_RECORDS = 10_000;

const streamsOver = (wire: Wire): StreamClient => ({
  list: () => wire.call("streams.list", {}),
  async produce(stream, records) {
    const places: RecordPlace[] = [];
    for (const batch of requestsOf(records.map(newRecordToWire)))
      places.push(...(await wire.call("streams.produce", { stream, records: batch })));
    return places;
  },
  async read(stream, options) {
    const { records, next } = await wire.call("streams.read", { stream, ...options });
    return { records: records.map(recordFromWire), next };
  },
  lag: (stream) => wire.call("streams.lag", { stream }),
});

/** One at least, so that a stream there is none of is told. */
function requestsOf(records: readonly WireNewRecord[]): readonly WireNewRecord[][] {
  const requests: WireNewRecord[][] = [[]];
  let size = 0;
  for (const record of records) {
    const { key = "", value = "", headers = {} } = record;
    const own = key.length + value.length + Object.values(headers).reduce((sum, header) => sum + header.length, 0);
    if (size + own > REQUEST_BYTES || requests.at(-1)!.length >= REQUEST_RECORDS) {
      requests.push([]);
      size = 0;
    }
    size += own;
    requests.at(-1)!.push(record);
  }
  return requests;
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
    return unwrap<AnswerOf<Calls[Name]>>(await json(await this.#post(name, args)));
  }

  async *stream<Name extends keyof Streams>(
    name: Name,
    args: ArgsOf<Streams[Name]>,
    signal?: AbortSignal,
  ): AsyncGenerator<ItemOf<Streams[Name]>, void, undefined> {
    const answer = await this.#post(name, args, signal);
    try {
      for await (const line of linesOf(answer)) yield unwrap<ItemOf<Streams[Name]>>(JSON.parse(line));
    } catch (error) {
      throw this.#explain(error, signal);
    }
  }

  /** The body of an answer that is no error. Not by `fetch`: see {@link exchange}. */
  async send(method: "GET" | "PUT" | "POST", path: string, options: SendBody = {}): Promise<IncomingMessage> {
    const { url, token } = await this.#endpoint();
    const headers = { authorization: `Bearer ${token}`, ...options.headers };
    const answer = await exchange(new URL(path, url), { ...options, method, headers }).catch((error: unknown) => {
      throw this.#explain(error, options.signal);
    });
    if (answer.statusCode! < 300) return answer;
    const { error } = (await json(answer).catch(() => ({}))) as { error?: ErrorRecord };
    throw error ? fromErrorRecord(error) : this.#nobody();
  }

  #post(name: string, args: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    return this.send("POST", `/api/${name}`, {
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
    const { code } = error as NodeJS.ErrnoException;
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

interface SendBody {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | Readable;
  readonly signal?: AbortSignal;
}

/** Connections are used again, and keep no program alive. */
const agent = new Agent({ keepAlive: true });

/**
 * One request and its answer's head. By `node:http`: a `fetch` whose connection breaks while its body waits to be read
 * can end the process. https://github.com/nodejs/undici/issues/5360
 */
async function exchange(url: URL, options: SendBody & { readonly method: string }): Promise<IncomingMessage> {
  const { body, ...head } = options;
  const sent = request(url, { ...head, agent });
  // What breaks after the answer's head, say when the rest of a refused body is sent, is told by the answer's own stream.
  sent.on("error", () => {});
  const answered = once(sent, "response") as Promise<[IncomingMessage]>;
  if (body instanceof Readable) {
    // A body that breaks breaks the request; an answer that comes before its end counts all the same.
    pipeline(body, sent).catch((error: Error) => sent.destroy(error));
  } else sent.end(body);
  try {
    const [answer] = await answered;
    return answer;
  } catch (error) {
    // The other side closed the connection just when it was to be used again: nobody has seen the request.
    const isStale = sent.reusedSocket && (error as NodeJS.ErrnoException).code === "ECONNRESET";
    if (isStale && !(body instanceof Readable)) return exchange(url, options);
    throw error;
  }
}

/** The lines of a body, without the empty ones that only keep it open. */
async function* linesOf(body: IncomingMessage): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines.filter((line) => line !== "");
  }
}

function lost(): never {
  throw new MillraceError("unavailable", "the local cloud ended its answer early");
}
