import { ProtocolError } from "@platformatic/kafka";
import { type ErrorKind, MillraceError } from "../errors.ts";

/**
 * What Kafka's own errors come to; those that are not here pass by themselves.
 *
 * @see https://kafka.apache.org/protocol#protocol_error_codes
 */
const KINDS: Readonly<Record<string, ErrorKind>> = {
  INVALID_PRODUCER_EPOCH: "conflict",
  PRODUCER_FENCED: "conflict",
  INVALID_PRODUCER_ID_MAPPING: "conflict",
  MESSAGE_TOO_LARGE: "bad-input",
  RECORD_LIST_TOO_LARGE: "bad-input",
  INVALID_RECORD: "bad-input",
  INVALID_TIMESTAMP: "bad-input",
  INVALID_TOPIC_EXCEPTION: "bad-input",
  INVALID_PARTITIONS: "bad-input",
  INVALID_REPLICATION_FACTOR: "bad-input",
  INVALID_CONFIG: "bad-input",
  INVALID_REQUEST: "bad-input",
  INVALID_GROUP_ID: "bad-input",
  INVALID_SESSION_TIMEOUT: "bad-input",
  POLICY_VIOLATION: "refused",
  INCONSISTENT_GROUP_PROTOCOL: "refused",
  GROUP_MAX_SIZE_REACHED: "refused",
  INVALID_TRANSACTION_TIMEOUT: "refused",
  UNSUPPORTED_SASL_MECHANISM: "refused",
  SASL_AUTHENTICATION_FAILED: "refused",
  TOPIC_AUTHORIZATION_FAILED: "refused",
  GROUP_AUTHORIZATION_FAILED: "refused",
  CLUSTER_AUTHORIZATION_FAILED: "refused",
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "refused",
  UNSUPPORTED_VERSION: "refused",
  UNSUPPORTED_FOR_MESSAGE_FORMAT: "refused",
  UNSUPPORTED_COMPRESSION_TYPE: "refused",
};

/** The names of all of Kafka's errors in what the client threw. */
export function codesOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const { apiId, errors = [], cause } = error as Error & { readonly apiId?: string; readonly errors?: unknown[] };
  return [...(apiId === undefined ? [] : [apiId]), ...errors.flatMap(codesOf), ...codesOf(cause)];
}

/** The error that a broker answers by its code. */
export const errorOf = (code: number): Error => new ProtocolError(code);

/** Whether it is what the client throws, and no mistake of ours. */
export const isClients = (error: unknown): boolean =>
  error instanceof Error && String((error as { readonly code?: unknown }).code).startsWith("PLT_KFK");

/** What it comes to, unless trying again may help. */
export function refusalOf(what: string, error: unknown): MillraceError | undefined {
  if (error instanceof MillraceError) return error;
  const code = codesOf(error).find((one) => KINDS[one]);
  if (code !== undefined) return new MillraceError(KINDS[code]!, `${what}: ${code}`, { cause: error });
  if ((error as { readonly code?: unknown } | undefined)?.code === "PLT_KFK_AUTHENTICATION") {
    return new MillraceError("refused", `${what}: the broker does not take this user`, { cause: error });
  }
  return undefined;
}
