import { JetStreamApiError, type JetStreamPublishOptions, jetstream, type PubAck } from "@nats-io/jetstream";
import {
  InvalidArgumentError,
  type MsgHdrs,
  type NatsConnection,
  NoRespondersError,
  headers as newHeaders,
  PermissionViolationError,
} from "@nats-io/transport-node";
import { type ErrorKind, MillraceError } from "../../../runtime/errors.ts";

/** A message as it is published to a stream. */
export interface Publication {
  readonly subject: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** A second one with the same id, within the stream's window, is not stored again. */
  readonly id?: string;
  /** Tried once only: the server looks at it before the id, so that a second try would be refused for the first. */
  readonly expect?: JetStreamPublishOptions["expect"];
  /** Seconds until the server removes it by itself. */
  readonly ttl?: number;
  readonly schedule?: JetStreamPublishOptions["schedule"];
}

/** Milliseconds for one answer of the server. */
const TIMEOUT = 5000;
/** Tries of one publication: an id makes the later ones harmless. */
export const TRIES = 3;

/**
 * Publishes to a stream, and answers once it is stored.
 *
 * @param what for messages: `send to queue uploads`
 * @throws `refused` with its size if it is larger than the server takes; what {@link toMillraceError} says.
 */
export async function publish(nats: NatsConnection, what: string, message: Publication): Promise<PubAck> {
  const { subject, body, id, expect, ttl, schedule } = message;
  const headers = headersOf(message.headers ?? {});
  checkSize(nats, what, body, headers);
  try {
    return await jetstream(nats, { timeout: TIMEOUT }).publish(subject, body, {
      headers,
      retries: id === undefined || expect ? 1 : TRIES,
      ...(id !== undefined && { msgID: id }),
      ...(expect && { expect }),
      ...(ttl !== undefined && { ttl: `${Math.max(1, Math.ceil(ttl))}s` }),
      ...(schedule && { schedule }),
    });
  } catch (error) {
    throw toMillraceError(what, error);
  }
}

/** Headers that hold any text: what is not printable ASCII is to be encoded before. */
export function headersOf(values: Readonly<Record<string, string>>): MsgHdrs {
  const headers = newHeaders();
  for (const [name, value] of Object.entries(values)) headers.set(name, value);
  return headers;
}

/** What the headers that a publication gets besides may take: conditions, ids, schedules. */
const HEADER_ROOM = 1024;

/** @throws `refused`, with the size it has and the size it may have. */
export function checkSize(nats: NatsConnection, what: string, body: string | Uint8Array, headers: MsgHdrs): void {
  const most = nats.info?.max_payload;
  if (most === undefined) return;
  const room = [...headers].reduce((sum, [name, [value = ""]]) => sum + name.length + value.length + 4, HEADER_ROOM);
  const size = Buffer.byteLength(body) + room;
  if (size > most)
    throw new MillraceError(
      "refused",
      `${what}: ${size} bytes with its headers are more than the ${most} that NATS takes (max_payload)`,
    );
}

/** What a call to NATS failed with, as one of our kinds. */
export function toMillraceError(what: string, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error;
  const message = isNobodyThere(error) ? NOBODY : error instanceof Error ? error.message : String(error);
  return new MillraceError(kindOf(error), `${what}: NATS answers ${message}`, { cause: error });
}

/** So it is too while a stream has no leader: to try again may help. */
export const NOBODY =
  "that nobody is there: if it stays so, delete the setup Jobs of the namespace, and deploy again with --refresh";

const isNobodyThere = (error: unknown): boolean =>
  error instanceof NoRespondersError || (error instanceof Error && isNobodyThere(error.cause));

/** https://github.com/nats-io/nats-server/blob/main/server/errors.json */
const CODES: Readonly<Record<number, ErrorKind>> = {
  10014: "not-found", // consumer
  10037: "not-found", // message
  10059: "not-found", // stream
  10054: "refused", // larger than the stream's messages may be
  10071: "conflict", // another last sequence
  10164: "conflict", // the same, where there is none
};

function kindOf(error: unknown): ErrorKind {
  if (error instanceof JetStreamApiError) return CODES[error.code] ?? (error.status < 500 ? "failed" : "unavailable");
  if (error instanceof PermissionViolationError) return "refused";
  if (error instanceof InvalidArgumentError) return "bad-input";
  return "unavailable";
}
