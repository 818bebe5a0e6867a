import { toPem } from "../../shared/certificates.ts";
import { field, type LinkAddress } from "../deployment.ts";
import { MillraceError } from "../errors.ts";

/** Which Kafka, and as whom. */
export interface KafkaConnection {
  /** `host:port`: one that answers tells of the others. */
  readonly brokers: readonly string[];
  readonly tls: boolean;
  /** Who vouches for the brokers, as PEM. @default the public authorities */
  readonly ca?: readonly string[];
  /** @default nobody is asked */
  readonly user?: KafkaUser & { readonly mechanism: KafkaMechanism };
}

export interface KafkaUser {
  readonly username: string;
  readonly password: string;
}

export type KafkaMechanism = "plain" | "scram-sha-256" | "scram-sha-512";

/** The connection that a stream's address tells of. */
export function connectionOf(address: LinkAddress, user?: KafkaUser): KafkaConnection {
  const { mechanism = "scram-sha-512", tls, ca } = address;
  return {
    brokers: field(address, "brokers").split(","),
    tls: tls === "true",
    ...(ca !== undefined && { ca: toPem(ca) }),
    ...(user && { user: { ...user, mechanism: mechanism as KafkaMechanism } }),
  };
}

/**
 * A user as a secret holds it: `{ "username", "password" }`.
 *
 * @param part the secret's name
 * @throws `bad-input` if there is none; nothing of the text is in the error.
 */
export function readUser(text: string, part: string): KafkaUser {
  const { username, password } = fieldsOf(text);
  if (isText(username) && isText(password)) return { username, password };
  throw new MillraceError(
    "bad-input",
    `secret "${part}" holds no user: JSON is wanted, { "username": "…", "password": "…" }`,
  );
}

/** What `JSON.parse` says quotes the text, which is a secret. */
function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(text) as Record<string, unknown> | null) ?? {};
  } catch {
    return {};
  }
}

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
