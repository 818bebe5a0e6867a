import { type ErrorKind, MillraceError } from "../../../runtime/errors.ts";
import type { AlicloudWorld } from "./account.ts";
import { type HttpAnswer, type HttpRequest, send, textOf } from "./http.ts";
import { signOpenApi } from "./signature.ts";

/** One call of an OpenAPI. */
export interface OpenApiCall extends Pick<HttpRequest, "method" | "origin" | "path"> {
  readonly action: string;
  readonly version: string;
  readonly query?: HttpRequest["query"];
  readonly headers?: HttpRequest["headers"];
  readonly body?: string;
}

/** Calls an OpenAPI; whatever it answers is the answer. @throws `unavailable` */
export const callOpenApi = (call: OpenApiCall, world: AlicloudWorld): Promise<HttpAnswer> => {
  const { action, version, query = {}, headers = {}, ...request } = call;
  const sign = signOpenApi(action, version, world.credentials);
  return send({ ...request, query, headers: { accept: "application/json", ...headers } }, sign, world);
};

/** The error an answer tells of. */
export async function openApiError(answer: HttpAnswer, what: string): Promise<MillraceError> {
  const { code, message } = readError(await textOf(answer));
  return new MillraceError(
    kindOf(answer.status, code),
    `${what}: ${answer.status}${code && ` ${code}`}${message && `: ${message}`}`,
  );
}

function kindOf(status: number, code: string): ErrorKind {
  // Its status is 400, as that of what is wrong with a request.
  if (code.startsWith("Throttling")) return "unavailable";
  return status === 404 ? "not-found" : status === 403 ? "refused" : "failed";
}

function readError(text: string): { readonly code: string; readonly message: string } {
  try {
    const { Code, code, Message, message } = JSON.parse(text) as Readonly<Record<string, string | undefined>>;
    return { code: Code ?? code ?? "", message: Message ?? message ?? "" };
  } catch {
    return { code: "", message: text.slice(0, 200) };
  }
}
