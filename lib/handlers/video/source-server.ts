import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { MillraceError } from "../../runtime/errors.ts";
import type { BucketReader, ObjectInfo } from "../../runtime/ports.ts";
import { explainSource } from "./explain.ts";
import { fromServer, type InputAddress } from "./input-options.ts";

/** An object that programs read as if it were here: only what they ask for is fetched. */
export interface SourceServer {
  readonly input: InputAddress;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes from there on. */
  read(first: number, length: number): Promise<Uint8Array>;
}

/** What is fetched at a time. Programs that hop over what they don't want stay within such a piece most of the time. */
const PIECE = 8 * 2 ** 20;
const PIECES_KEPT = 4;

/**
 * Serves one object to programs of this machine while some work lasts, under a path that nobody else knows.
 *
 * @param etag content other than this is refused
 * @throws `not-found`, or `bad-input` for other content; what kept a program from reading the object, which took that for
 * the object's end or for a fault of its own; else what the work throws
 */
export async function withSource<Result>(
  { object, etag }: { readonly object: string; readonly etag?: string },
  uploads: BucketReader,
  work: (server: SourceServer) => Promise<Result>,
): Promise<Result> {
  const info = await uploads.head(object);
  if (!info) throw explainSource(new MillraceError("not-found", "there is no such object"), uploads.bucket);
  if (etag !== undefined && info.etag !== etag) throw explainSource(new MillraceError("conflict", ""), uploads.bucket);
  const pieces = new Pieces(info, uploads);
  let failure: unknown;
  const path = `/${randomUUID()}`;
  const server = createServer((request, response) => {
    respond(request, response, path, info.size, pieces).catch((error: unknown) => {
      failure ??= error;
      response.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    const input = fromServer(`http://127.0.0.1:${port}${path}`);
    const read: SourceServer["read"] = (first, length) => pieces.bytes(first, length);
    const result = await work({ input, etag: info.etag, size: info.size, read }).catch((error: unknown) => {
      throw failure ?? error;
    });
    if (failure !== undefined) throw failure;
    return result;
  } catch (error) {
    throw explainSource(error, uploads.bucket);
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  size: number,
  pieces: Pieces,
): Promise<void> {
  if (request.url !== path) return void response.writeHead(404).end();
  const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const first = Number(from);
  const last = to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (first > last) return void response.writeHead(416, { "content-range": `bytes */${size}` }).end();
  response.writeHead(206, {
    "accept-ranges": "bytes",
    "content-length": last - first + 1,
    "content-range": `bytes ${first}-${last}/${size}`,
  });
  if (request.method === "HEAD") return void response.end();
  for (let at = first; at <= last && !response.destroyed; ) {
    const part = await pieces.from(at, last);
    at += part.length;
    if (!response.write(part) && !response.destroyed)
      await Promise.race([once(response, "drain"), once(response, "close")]);
  }
  response.end();
}

/** Pieces of an object, the last used of them kept. */
class Pieces {
  readonly #info: ObjectInfo;
  readonly #uploads: BucketReader;
  readonly #kept = new Map<number, Promise<Uint8Array>>();

  constructor(info: ObjectInfo, uploads: BucketReader) {
    this.#info = info;
    this.#uploads = uploads;
  }

  /** What a piece has from a byte on, up to the last one wanted. */
  async from(first: number, last: number): Promise<Uint8Array> {
    const index = Math.floor(first / PIECE);
    const piece = await this.#piece(index);
    const start = first - index * PIECE;
    return piece.subarray(start, Math.min(piece.length, start + last - first + 1));
  }

  async bytes(first: number, length: number): Promise<Uint8Array> {
    return this.from(first, Math.min(this.#info.size, first + length) - 1);
  }

  #piece(index: number): Promise<Uint8Array> {
    const kept = this.#kept.get(index) ?? this.#fetch(index);
    this.#kept.delete(index);
    this.#kept.set(index, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > PIECES_KEPT) this.#kept.delete(oldest!);
    return kept;
  }

  #fetch(index: number): Promise<Uint8Array> {
    const { key, size, etag } = this.#info;
    const range = [index * PIECE, Math.min(size, (index + 1) * PIECE) - 1] as const;
    const fetched = this.#uploads.get(key, { range, ifMatch: etag });
    fetched.catch(() => this.#kept.delete(index));
    return fetched;
  }
}
