import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** Keys that every fake knows. */
export const KEYS = {
  accessKeyId: "STS.fake",
  accessKeySecret: "fake-secret",
  securityToken: "fake-token",
} as const;

export type Keys = Readonly<Record<keyof typeof KEYS, string>>;

/** The keys of a role: the same ones, with a token of its own. */
export const keysOf = (role: string): Keys => ({ ...KEYS, securityToken: `${KEYS.securityToken}/${role}` });

/** Whether a token is one of {@link KEYS} or of {@link keysOf}. */
export const isToken = (token: string | undefined): boolean => token?.split("/")[0] === KEYS.securityToken;

/** A request as a fake sees it. */
export interface FakeRequest {
  readonly method: string;
  /** As it was sent, without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface FakeAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** A service on a port of this machine; its time can be moved. */
export class FakeServer {
  readonly requests: FakeRequest[] = [];
  /** Whether bodies are kept with the requests. */
  keepsBodies = true;
  /** Whether a request that is signed well is forbidden. @default none is */
  forbids: (request: FakeRequest) => boolean = () => false;
  readonly #answer: (request: FakeRequest) => FakeAnswer | Promise<FakeAnswer>;
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #faults: (number | "broken")[] = [];
  #offset = 0;

  constructor(answer: (request: FakeRequest) => FakeAnswer | Promise<FakeAnswer>) {
    this.#answer = answer;
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this.origin;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The next requests fail so, one each: by a status, or by a connection that breaks. */
  fail(...faults: readonly (number | "broken")[]): void {
    this.#faults.push(...faults);
  }

  /** Milliseconds since 1970. */
  now(): number {
    return Date.now() + this.#offset;
  }

  advance(seconds: number): void {
    this.#offset += seconds * 1000;
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(message).catch(() => undefined);
    if (!body) return;
    const fault = this.#faults.shift();
    if (fault === "broken") return void message.socket.destroy();
    if (fault !== undefined) return void response.writeHead(fault).end("<Error><Code>InternalError</Code></Error>");
    const [path = "", search = ""] = (message.url ?? "").split("?");
    const query = Object.fromEntries(
      search
        .split("&")
        .filter(Boolean)
        .map((pair) => pair.split("="))
        .map(([name = "", value = ""]) => [decodeURIComponent(name), decodeURIComponent(value)]),
    );
    const request = { method: message.method ?? "", path, query, headers: message.headers as never, body };
    this.requests.push(this.keepsBodies ? request : { ...request, body: Buffer.alloc(0) });
    const { status, headers = {}, body: answer = "" } = await this.#answer(request);
    response.writeHead(status, { date: new Date(this.now()).toUTCString(), ...headers });
    response.end(message.method === "HEAD" ? undefined : answer);
  }
}
