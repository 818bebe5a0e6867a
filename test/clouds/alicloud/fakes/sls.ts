import { createHmac } from "node:crypto";
import { type FakeAnswer, type FakeRequest, FakeServer, isToken, KEYS } from "./server.ts";

interface StoredLine {
  /** Seconds since 1970. */
  readonly time: number;
  readonly topic: string;
  readonly message: string;
  readonly words: ReadonlySet<string>;
}

/** As a deployment divides the lines. */
const DIVIDERS = /[, '";=()[\]{}?@&<>/:\n\t\r]/;

/**
 * Log Service on the wire, as its API reference says it: `GetLogs` of one store with a full-text index. Lines come in
 * order of their minute, within it in any; the first answer to a search is often not the whole one.
 *
 * @see https://www.alibabacloud.com/help/en/sls/developer-reference/api-sls-2020-12-30-getlogs
 */
export class FakeSls {
  readonly server = new FakeServer((request) => this.#answer(request));
  /** Searches whose first answer is `Incomplete`, from now on. */
  incomplete = 1;
  readonly #store: string;
  readonly #now: () => number;
  readonly #lines: StoredLine[] = [];

  /** @param now milliseconds since 1970; the server's own time by default */
  constructor(store: string, now?: () => number) {
    this.#store = store;
    this.#now = now ?? (() => this.server.now());
  }

  /** What Function Compute collects of a function's output. */
  collect(functionName: string, message: string, time = this.#now()): void {
    this.#lines.push({
      time: Math.floor(time / 1000),
      topic: `FCLogs:${functionName}`,
      message,
      words: new Set(message.toLowerCase().split(DIVIDERS)),
    });
  }

  #answer(request: FakeRequest): FakeAnswer {
    if (!isSigned(request)) return error(401, "SignatureNotMatch");
    if (this.server.forbids(request)) return error(403, "Unauthorized");
    if (request.path !== `/logstores/${this.#store}`) return error(404, "LogStoreNotExist");
    const { type, from, to, query = "", line = "100", offset = "0", reverse = "false" } = request.query;
    const isWindow = /^\d+$/.test(from ?? "") && /^\d+$/.test(to ?? "") && Number(from) < Number(to);
    if (request.method !== "GET" || type !== "log" || !isWindow || reverse !== "false") {
      return error(400, "ParameterInvalid");
    }
    if (!(Number(line) >= 0 && Number(line) <= 100 && Number(offset) >= 0)) return error(400, "ParameterInvalid");
    const wanted = conditions(query);
    if (!wanted) return error(400, "ParameterInvalid");
    const found = this.#lines
      .filter(({ time }) => time >= Number(from) && time < Number(to))
      .filter(({ words }) => wanted.every((condition) => condition.every((word) => words.has(word))))
      .toSorted((one, other) => minuteOf(one) - minuteOf(other) || other.time - one.time);
    const page = found.slice(Number(offset), Number(offset) + Number(line));
    const isCut = this.incomplete > 0;
    this.incomplete = Math.max(0, this.incomplete - 1);
    const answered = isCut ? page.slice(0, Math.floor(page.length / 2)) : page;
    return {
      status: 200,
      headers: {
        "content-type": "application/json",
        "x-log-progress": isCut ? "Incomplete" : "Complete",
        "x-log-count": String(answered.length),
      },
      body: JSON.stringify(answered.map(toRow)),
    };
  }
}

const minuteOf = ({ time }: StoredLine): number => Math.floor(time / 60);

/** A quoted text is all of its words; at most 30 of them, combined by `and`. */
function conditions(query: string): readonly (readonly string[])[] | undefined {
  const quoted = query.split(" and ").map((one) => /^"([^"\\*?]+)"$/.exec(one)?.[1]);
  if (quoted.length > 30 || quoted.includes(undefined)) return undefined;
  return quoted.map((text) => text!.toLowerCase().split(DIVIDERS));
}

const toRow = ({ time, topic, message }: StoredLine) => ({
  __time__: String(time),
  __topic__: topic,
  __source__: "",
  functionName: topic.split(":")[1],
  qualifier: "LATEST",
  versionId: "",
  message,
});

/** https://www.alibabacloud.com/help/en/sls/developer-reference/request-signatures */
function isSigned({ method, path, query, headers }: FakeRequest): boolean {
  if (!isToken(headers["x-acs-security-token"]) || headers["x-log-apiversion"] !== "0.6.0") return false;
  const canonical = Object.keys(headers)
    .filter((name) => name.startsWith("x-log-") || name.startsWith("x-acs-"))
    .sort()
    .map((name) => `${name}:${headers[name]?.trim()}\n`);
  const asked = Object.keys(query)
    .sort()
    .map((name) => `${name}=${query[name]}`);
  const resource = asked.length > 0 ? `${path}?${asked.join("&")}` : path;
  const text = `${method}\n${headers["content-md5"] ?? ""}\n${headers["content-type"] ?? ""}\n${headers.date}\n${canonical.join("")}${resource}`;
  const signature = createHmac("sha1", KEYS.accessKeySecret).update(text).digest("base64");
  return headers.authorization === `LOG ${KEYS.accessKeyId}:${signature}`;
}

const error = (status: number, errorCode: string): FakeAnswer => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ errorCode, errorMessage: errorCode }),
});
