import { type ErrorKind, MillraceError } from "../../../runtime/errors.ts";
import type { AwsWorld } from "./account.ts";

/** How a request of the SDK ends early. */
export interface RequestOptions {
  readonly abortSignal: AbortSignal;
}

/** Kinds by the service's name of an error, for what says something else here than its status does. */
export type Kinds = Readonly<Record<string, ErrorKind>>;

/**
 * Asks a service; the SDK has tried again already what is worth it, three times at most.
 *
 * @param what is asked for, as it begins a message
 * @throws a MillraceError for what the service or the line failed; the signal's reason; anything else as it is.
 */
export async function ask<Answer>(
  what: string,
  { signal }: Pick<AwsWorld, "signal">,
  request: (options: RequestOptions) => Promise<Answer>,
  kinds: Kinds = {},
): Promise<Answer> {
  signal.throwIfAborted();
  try {
    return await request({ abortSignal: signal });
  } catch (error) {
    signal.throwIfAborted();
    throw serviceError(what, error, kinds);
  }
}

/** What the SDK throws, as far as it is known. https://docs.aws.amazon.com/sdk-for-javascript/v3/developer-guide/error-handling.html */
interface SdkError extends Error {
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

function serviceError(what: string, error: unknown, kinds: Kinds): unknown {
  if (!(error instanceof Error) || error instanceof MillraceError) return error;
  const kind = kindOf(error, kinds);
  return kind ? new MillraceError(kind, `${what}: ${said(error)}`, { cause: error }) : error;
}

function said({ name, message, code, $metadata }: SdkError): string {
  const status = $metadata?.httpStatusCode;
  const known = status === undefined ? (code ?? name) : `${status} ${name}`;
  return message === "" || message === name || message === "UnknownError" ? known : `${known}: ${message}`;
}

function kindOf(error: SdkError, kinds: Kinds): ErrorKind | undefined {
  const named = kinds[error.name] ?? NAMES[error.name];
  if (named) return named;
  const status = error.$metadata?.httpStatusCode;
  if (status !== undefined) return STATUSES[status] ?? (status >= 500 ? "unavailable" : "failed");
  // No answer at all: the line's errors have Node's codes, or are the SDK's own timeouts.
  return error.name === "TimeoutError" || /^(E[A-Z_]+|ERR_(SSL|TLS)_\w+)$/.test(error.code ?? "")
    ? "unavailable"
    : undefined;
}

const STATUSES: Readonly<Record<number, ErrorKind>> = {
  400: "bad-input",
  401: "refused",
  403: "refused",
  404: "not-found",
  409: "conflict",
  412: "conflict",
  413: "bad-input",
  416: "bad-input",
  429: "unavailable",
};

/** Names that mean the same with every service, and that come with status 400 from most. https://docs.aws.amazon.com/general/latest/gr/api-retries.html */
const NAMES: Kinds = {
  AccessDeniedException: "refused",
  CredentialsProviderError: "refused",
  ExpiredToken: "refused",
  ExpiredTokenException: "refused",
  IncompleteSignature: "refused",
  InvalidSignatureException: "refused",
  MissingAuthenticationToken: "refused",
  UnrecognizedClientException: "refused",
  ProvisionedThroughputExceededException: "unavailable",
  RequestLimitExceeded: "unavailable",
  RequestTimeout: "unavailable",
  RequestTimeoutException: "unavailable",
  Throttling: "unavailable",
  ThrottlingException: "unavailable",
  ResourceNotFoundException: "not-found",
};
