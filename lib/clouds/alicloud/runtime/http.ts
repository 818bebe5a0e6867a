import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { sleep } from "../../../runtime/clock.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { AlicloudWorld } from "./account.ts";

/** One request, ready but for its signature. */
export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** `https://host`, without a path. */
  readonly origin: string;
  /** Percent-encoded; sent as it is. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Readable;
}

/** Adds the headers that prove who asks; called for every try, since signatures age. */
export type Sign = (request: HttpRequest, now: Date) => Readonly<Record<string, string>>;

/** Tries of one request. */
const TRIES = 4;
/** Milliseconds without a byte after which a connection is given up. */
const SILENCE = 60_000;

/**
 * Sends a request until the service has an answer: connections that break, throttling and faults of the service are
 * tried again, with growing waits. What the service says no to is an answer.
 *
 * Node's own client and not `fetch`, which resolves `..` in a path: keys of objects may be just that.
 *
 * @throws `unavailable` when no try came through; the signal's reason.
 */
export async function send(request: HttpRequest, sign: Sign, world: AlicloudWorld): Promise<HttpAnswer> {
  const { clock, signal } = world;
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    const answer = await once(request, sign(request, new Date(clock.now())), signal).catch((error: unknown) => {
      signal.throwIfAborted();
      return error as Error;
    });
    const isAnswer = !(answer instanceof Error) && answer.status !== 429 && answer.status < 500;
    if (isAnswer) return answer;
    const said = answer instanceof Error ? answer.message : `${answer.status} ${await textOf(answer)}`;
    if (tries === TRIES)
      throw new MillraceError("unavailable", `${new URL(request.origin).host} does not answer: ${said}`);
    await sleep(clock, 2 ** tries * 50 * (1 + Math.random()), signal);
  }
}

/** Whole answer as text. */
export const textOf = async ({ body }: HttpAnswer): Promise<string> => (await buffer(body)).toString("utf8");

/** A query as it is signed and sent: sorted, a value that is empty without `=`. */
export const queryText = (query: Readonly<Record<string, string>>): string =>
  Object.entries(query)
    .map(([name, value]) => (value === "" ? encode(name) : `${encode(name)}=${encode(value)}`))
    .sort()
    .join("&");

/** Percent-encodes all but letters, digits and `-_.~` (RFC 3986). */
export const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

function once({ method, origin, path, query, headers, body }: HttpRequest, signed: object, signal: AbortSignal) {
  const { protocol, hostname, port } = new URL(origin);
  const start = protocol === "http:" ? httpRequest : httpsRequest;
  const search = queryText(query);
  return new Promise<HttpAnswer>((resolve, reject) => {
    const outgoing = start({
      protocol,
      hostname,
      ...(port && { port }),
      method,
      path: search ? `${path}?${search}` : path,
      headers: { ...headers, ...signed, "content-length": Buffer.byteLength(body ?? "") },
      signal,
    });
    outgoing.setTimeout(SILENCE, () => outgoing.destroy(new Error(`no byte for ${SILENCE / 1000} seconds`)));
    outgoing.on("error", reject);
    outgoing.on("response", (response: IncomingMessage) =>
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers as Record<string, string | undefined>,
        body: response,
      }),
    );
    outgoing.end(body);
  });
}

/** Reads an answer to its end without keeping it, so that its connection is free again. */
export const discard = ({ body }: HttpAnswer): Promise<void> =>
  pipeline(body, async (chunks) => {
    for await (const _ of chunks);
  });
