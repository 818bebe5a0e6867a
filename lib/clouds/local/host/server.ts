import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { exactOptional as maybe, z } from "zod";
import { type ErrorKind, type ErrorRecord, MillraceError, toErrorRecord } from "../../../runtime/errors.ts";
import { formatProblem } from "../../../shared/problem.ts";
import { schemaProblems } from "../../../shared/schema.ts";
import { formatBytes } from "../../../shared/size.ts";
import { removeEndpoint, writeEndpoint, writePlan } from "../endpoint.ts";
import { calls, streams } from "./api.ts";
import type { LocalView } from "./inspect.ts";

export interface ServeOptions {
  readonly view: LocalView;
  /** Where `endpoint.json` goes: the local cloud's folder. */
  readonly folder: string;
  /** @default a free one */
  readonly port?: number;
}

export interface LocalServer {
  readonly url: string;
  readonly token: string;
  /** Ends open streams, lets calls finish for a moment, and takes `endpoint.json` away. */
  close(): Promise<void>;
}

/** A JSON body above this is refused; objects are streamed and have no bound but the disk. */
const MOST_JSON_BYTES = 32 * 2 ** 20;
/** An empty line this often keeps a silent stream open: fetch gives up a body that is still for 300 seconds. */
const HEARTBEAT_MILLISECONDS = 15_000;
/** What is still open this long after `close` is cut off. */
const CLOSE_MILLISECONDS = 2000;
/** How long a refused request may go on sending, so that its sender gets to read the answer. */
const DISCARD_MILLISECONDS = 5000;

/**
 * Serves the local cloud over HTTP to this machine alone: on the loopback address, to whoever can read the token in
 * `<folder>/endpoint.json`, and never to a foreign web page.
 *
 * @throws MillraceError `refused` if the port is taken.
 */
export async function serveLocal({ view, folder, port = 0 }: ServeOptions): Promise<LocalServer> {
  await writePlan(folder, view.plan());
  const token = randomBytes(32).toString("base64url");
  const closing = new AbortController();
  // No bound on a request's length: an upload takes as long as it takes.
  const server = createServer({ requestTimeout: 0 });
  const address = await listen(server, port);
  const guard = new Guard(address, token);
  server.on("request", (request, response) => void answer(request, response, { view, guard, closing: closing.signal }));

  const url = `http://127.0.0.1:${address.port}`;
  const unsubscribe = view.onChange((change) => {
    if (change.type === "plan.changed") void writePlan(folder, change.plan).catch(() => {});
  });
  try {
    await writeEndpoint(folder, { url, token, pid: process.pid });
  } catch (error) {
    unsubscribe();
    server.close();
    throw error;
  }
  return {
    url,
    token,
    async close() {
      unsubscribe();
      await removeEndpoint(folder, token);
      closing.abort();
      await closeServer(server);
    },
  };
}

interface Serving {
  readonly view: LocalView;
  readonly guard: Guard;
  readonly closing: AbortSignal;
}

/** Who may call: the right `Host` (no rebound name), no foreign `Origin`, the token. */
class Guard {
  readonly #hosts: ReadonlySet<string>;
  readonly #tokenHash: Buffer;

  constructor({ port }: AddressInfo, token: string) {
    this.#hosts = new Set([`127.0.0.1:${port}`, `localhost:${port}`]);
    this.#tokenHash = hash(token);
  }

  check({ headers: { host = "", origin, authorization = "" } }: IncomingMessage): void {
    if (!this.#hosts.has(host)) throw new Refusal(403, `Host: must be the loopback address, got "${host}"`);
    if (origin !== undefined && !this.#hosts.has(origin.replace(/^http:\/\//, ""))) {
      throw new Refusal(403, `Origin: must be the local cloud's own, got "${origin}"`);
    }
    const [, token = ""] = /^Bearer (\S+)$/.exec(authorization) ?? [];
    if (!timingSafeEqual(hash(token), this.#tokenHash)) {
      throw new Refusal(401, "Authorization: must be Bearer and the token of endpoint.json");
    }
  }
}

const hash = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Turned away with a status of its own. */
class Refusal extends MillraceError {
  readonly status: number;

  constructor(status: number, message: string) {
    super("refused", message);
    this.status = status;
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, serving: Serving): Promise<void> {
  try {
    serving.guard.check(request);
    await route(request, response, serving);
  } catch (error) {
    fail(request, response, error);
  }
}

/** `POST /api/<call>` takes and answers JSON; `/api/object` moves bytes. */
async function route(request: IncomingMessage, response: ServerResponse, serving: Serving): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
  const name = pathname.replace(/^\/api\//, "");
  const query = Object.fromEntries(searchParams);
  if (name === "object" && request.method === "GET") return getObject(response, query, serving);
  if (name === "object" && request.method === "PUT") return putObject(request, response, query, serving);
  if (request.method === "POST" && isKeyOf(calls, name)) {
    const { args, answer } = calls[name] as AnyCall<unknown>;
    const given = parse(args, await readJson(request));
    return sendValue(response, await answer(serving.view, given, serving.closing));
  }
  if (request.method === "POST" && isKeyOf(streams, name)) {
    const { args, answer } = streams[name] as AnyCall<AsyncIterable<unknown>>;
    const given = parse(args, await readJson(request));
    return sendStream(response, (signal) => answer(serving.view, given, signal), serving.closing);
  }
  throw new MillraceError("not-found", `${request.method} ${pathname}: there is no such call`);
}

interface AnyCall<Answer> {
  readonly args: z.ZodType;
  answer(view: LocalView, args: unknown, signal: AbortSignal): Answer;
}

const isKeyOf = <Table extends object>(table: Table, key: string): key is keyof Table & string =>
  Object.hasOwn(table, key);

async function readJson(request: IncomingMessage): Promise<unknown> {
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? "")) {
    throw new Refusal(415, "Content-Type: must be application/json");
  }
  const tooLarge = () => new Refusal(413, `the request is larger than ${formatBytes(MOST_JSON_BYTES)}`);
  if (Number(request.headers["content-length"]) > MOST_JSON_BYTES) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  // Read by events: leaving a `for await` early would cut the connection before the answer is out.
  await new Promise<void>((resolve, reject) => {
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MOST_JSON_BYTES) chunks.push(chunk);
      else reject(tooLarge());
    });
    request.on("end", resolve);
    request.on("error", reject);
  });
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (error) {
    throw new MillraceError("bad-input", `the request is no JSON: ${(error as Error).message}`);
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, given: unknown): z.output<Schema> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const problems = schemaProblems(result.error, given, "request").map(formatProblem);
  throw new MillraceError("bad-input", problems.join("; "));
}

const JSON_HEADERS = { "content-type": "application/json", "cache-control": "no-store" };

function sendValue(response: ServerResponse, value: unknown): void {
  response.writeHead(200, JSON_HEADERS).end(JSON.stringify({ value }));
}

/** One JSON text a line: `{ value }` again and again, `{ error }` as the last if it ended badly. */
async function sendStream(
  response: ServerResponse,
  start: (signal: AbortSignal) => AsyncIterable<unknown>,
  closing: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const signal = AbortSignal.any([gone.signal, closing]);
  response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" }).flushHeaders();
  const heartbeat = setInterval(() => response.write("\n"), HEARTBEAT_MILLISECONDS);
  try {
    for await (const value of start(signal)) {
      if (!response.write(`${JSON.stringify({ value })}\n`)) await once(response, "drain", { signal });
    }
    if (closing.aborted) throw new Error("cut short");
    response.end();
  } catch (error) {
    response.end(`${JSON.stringify({ error: closing.aborted ? STOPPED : toWire(error) })}\n`);
  } finally {
    clearInterval(heartbeat);
  }
}

const STOPPED: ErrorRecord = { kind: "unavailable", message: "the local cloud was stopped" };

const objectArgs = z.strictObject({
  bucket: z.string().min(1),
  key: z.string().min(1).max(1024),
  first: maybe(z.coerce.number().int().min(0)),
  last: maybe(z.coerce.number().int().min(0)),
  ifMatch: maybe(z.string()),
});

async function getObject(response: ServerResponse, query: object, { view }: Serving): Promise<void> {
  const { bucket, key, first, last, ifMatch } = parse(objectArgs, query);
  const reader = view.buckets.reader(bucket);
  const info = await reader.head(key);
  if (!info) throw new MillraceError("not-found", `${bucket} has no object "${key}"`);
  const end = Math.min(last ?? Infinity, info.size - 1);
  const hasRange = first !== undefined || last !== undefined;
  const body = await reader.stream(key, {
    ifMatch: ifMatch ?? info.etag, // the length that is announced must be the one that is sent
    ...(hasRange && { range: [first ?? 0, end] }),
  });
  response.writeHead(200, {
    "content-type": "application/octet-stream",
    "content-length": hasRange ? Math.max(0, end - (first ?? 0) + 1) : info.size,
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  });
  await pipeline(body, response);
}

function fromJson(text: string, context: z.RefinementCtx): unknown {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue("must be JSON");
    return z.NEVER;
  }
}

const putArgs = z.strictObject({
  bucket: z.string().min(1),
  key: z.string().min(1).max(1024),
  contentType: maybe(z.string()),
  metadata: maybe(z.string().transform(fromJson).pipe(z.record(z.string(), z.string()))),
  ifMatch: maybe(z.string()),
  ifNoneMatch: maybe(z.literal("*")),
});

async function putObject(
  request: IncomingMessage,
  response: ServerResponse,
  query: object,
  { view }: Serving,
): Promise<void> {
  const { bucket, key, ...options } = parse(putArgs, query);
  sendValue(response, await view.buckets.writer(bucket).put(key, request, options));
}

const STATUS: Readonly<Record<ErrorKind, number>> = {
  "bad-input": 400,
  "not-found": 404,
  conflict: 409,
  refused: 403,
  unavailable: 503,
  "timed-out": 504,
  failed: 500,
  stopped: 500,
  expired: 500,
  interrupted: 500,
};

function fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const record = toWire(error);
  response.writeHead(error instanceof Refusal ? error.status : STATUS[record.kind], JSON_HEADERS);
  response.end(JSON.stringify({ error: record }));
  if (request.complete) return;
  request.resume();
  setTimeout(() => request.complete || request.destroy(), DISCARD_MILLISECONDS).unref();
}

/** An error for the other side: what it says, without where in our code it came from. */
function toWire(error: unknown): ErrorRecord {
  const { kind, message } = toErrorRecord(error);
  return { kind, message };
}

async function listen(server: Server, port: number): Promise<AddressInfo> {
  server.listen({ host: "127.0.0.1", port });
  try {
    await once(server, "listening");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new MillraceError(
      "refused",
      code === "EADDRINUSE" ? `port ${port} is in use; leave --port out for a free one` : `port ${port}: ${message}`,
      { cause: error },
    );
  }
  return server.address() as AddressInfo;
}

async function closeServer(server: Server): Promise<void> {
  const idle = setInterval(() => server.closeIdleConnections(), 20);
  const cutOff = setTimeout(() => server.closeAllConnections(), CLOSE_MILLISECONDS);
  await new Promise((resolve) => server.close(resolve));
  clearInterval(idle);
  clearTimeout(cutOff);
}
