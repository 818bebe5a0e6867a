import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { createInterface } from "node:readline";
import { type ErrorKind, MillraceError } from "../../../runtime/errors.ts";

/** An API server and who asks it. */
export interface ApiTarget {
  /** `https://10.0.0.1:443` */
  readonly server: string;
  /** The certificate of whoever signed the server's, as PEM. @default Node's own list */
  readonly ca?: string;
  /** Asked at every request, for tokens are replaced while the process runs. */
  readonly token: () => string | Promise<string>;
}

/** What every object of the API has that is asked for here. */
export interface ObjectMeta {
  readonly name: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly deletionTimestamp?: string;
}

/** One message of a watch. https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes */
export interface WatchEvent<Resource> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: Resource;
}

/** One question to the API server. */
export interface ApiRequest {
  readonly verb: "get" | "list" | "watch" | "create" | "update" | "patch" | "delete";
  /** `/apis/batch/v1/namespaces/x/jobs` */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** What a pod finds of its own service account. https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Milliseconds until the answer; a watch has longer pauses, and its own end. */
const TIMEOUT = 30_000;

/** A connection whose other side has gone without a word is found out that soon, in milliseconds. */
const KEEP_ALIVE = 15_000;

const METHODS = {
  ...{ get: "GET", list: "GET", watch: "GET" },
  ...{ create: "POST", update: "PUT", patch: "PATCH", delete: "DELETE" },
} as const;

/** The few calls we make to an API server, as JSON over HTTPS. */
export class KubernetesApi {
  readonly #target: ApiTarget;
  readonly #agent: Agent;

  constructor(target: ApiTarget) {
    this.#target = target;
    this.#agent = new Agent({ keepAlive: true, ...(target.ca !== undefined && { ca: target.ca }) });
  }

  /** The answer to a question. @throws `MillraceError` with verb, resource, status and the server's message */
  async ask<Answer>(question: ApiRequest): Promise<Answer> {
    return JSON.parse(await textOf(await this.#send(question))) as Answer;
  }

  /** As `ask`, but nothing if there is no such object. */
  async find<Answer>(question: ApiRequest): Promise<Answer | undefined> {
    try {
      return await this.ask<Answer>(question);
    } catch (error) {
      if (error instanceof MillraceError && error.kind === "not-found") return undefined;
      throw error;
    }
  }

  /** The answer as lines of text, as they come; ends with the signal or with the answer. */
  async *lines(question: ApiRequest): AsyncGenerator<string, void, undefined> {
    const response = await this.#send(question);
    try {
      yield* createInterface({ input: response, crlfDelay: Infinity });
    } catch (error) {
      if (!question.signal?.aborted) throw lost(question, error);
    } finally {
      response.destroy();
    }
  }

  /** What happens to the objects from then on, until the server ends the watch, as it does every few minutes. */
  async *watch<Resource>(question: Omit<ApiRequest, "verb" | "body">): AsyncGenerator<WatchEvent<Resource>, void> {
    const query = { ...question.query, watch: "true", allowWatchBookmarks: "true" };
    for await (const line of this.lines({ ...question, query, verb: "watch" })) {
      if (line !== "") yield JSON.parse(line) as WatchEvent<Resource>;
    }
  }

  /** No question can be asked afterwards. */
  close(): void {
    this.#agent.destroy();
  }

  async #send(question: ApiRequest): Promise<IncomingMessage> {
    const { verb, path, query = {}, body, signal } = question;
    const url = new URL(path, this.#target.server);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${await this.#target.token()}`,
      accept: "application/json",
      ...(text !== undefined && {
        // A patch says what is to be other than it is. https://datatracker.ietf.org/doc/html/rfc7396
        "content-type": verb === "patch" ? "application/merge-patch+json" : "application/json",
        "content-length": Buffer.byteLength(text),
      }),
    };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { method: METHODS[verb], headers, agent: this.#agent, ...(signal && { signal }) };
      const sent = request(url, options, resolve);
      sent.setTimeout(TIMEOUT, () => sent.destroy(new Error(`no answer within ${TIMEOUT / 1000} s`)));
      sent.once("error", (error) => reject(lost(question, error)));
      sent.end(text);
    });
    response.socket.setKeepAlive(true, KEEP_ALIVE);
    if (verb === "watch" || query.follow === "true") response.socket.setTimeout(0);
    const { statusCode: status = 0 } = response;
    if (status >= 200 && status < 300) return response;
    throw refusal(question, status, await textOf(response).catch(() => ""));
  }
}

/**
 * The API server of the cluster this process is a pod of, asked as the pod's service account.
 *
 * @param folder has `ca.crt` and `token`, which is replaced about once an hour
 */
export async function insideCluster(
  variables: Readonly<Record<string, string | undefined>>,
  folder = ACCOUNT,
): Promise<KubernetesApi> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = variables;
  if (!host || !port) {
    throw new Error("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are missing: this is not a pod of Kubernetes");
  }
  return new KubernetesApi({
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca: await readFile(`${folder}/ca.crt`, "utf8"),
    token: async () => (await readFile(`${folder}/token`, "utf8")).trim(),
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding("utf8");
  let text = "";
  for await (const part of response) text += part as string;
  return text;
}

const lost = (question: ApiRequest, error: unknown): MillraceError =>
  new MillraceError("unavailable", `${asked(question)}: ${(error as Error).message}`, { cause: error });

function refusal(question: ApiRequest, status: number, text: string): MillraceError {
  return new MillraceError(kindOf(status), `${asked(question)}: ${status} ${messageIn(text)}`);
}

const asked = ({ verb, path }: ApiRequest): string => `Kubernetes, ${verb} ${path}`;

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
function messageIn(text: string): string {
  try {
    return (JSON.parse(text) as { readonly message?: string }).message ?? text;
  } catch {
    return text.slice(0, 500);
  }
}

function kindOf(status: number): ErrorKind {
  if (status === 404) return "not-found";
  if (status === 409) return "conflict";
  // Expired: what a list or watch is to go on from is too old.
  if (status === 410) return "expired";
  return status === 429 || status >= 500 ? "unavailable" : "refused";
}
