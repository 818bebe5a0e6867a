/**
 * A text as one token of a subject: what may stand in a key of NATS stays as it is, every other byte becomes `=` and
 * its hex code, so that tools show keys that can be read. Where that grows too long, the whole becomes base64url:
 * partition and sort key of 1,024 bytes each must fit into one line of the protocol, 4,096 bytes.
 * https://docs.nats.io/nats-concepts/jetstream/key-value-store
 */
export function tokenOf(text: string): string {
  const token = text.replace(/[^A-Za-z0-9/_-]+/g, (some) =>
    [...Buffer.from(some)].map((byte) => `=${byte.toString(16).padStart(2, "0")}`).join(""),
  );
  return token.length <= LONGEST ? token : `${LONG}${Buffer.from(text).toString("base64url")}`;
}

/** No escape begins so. */
const LONG = "==";
const LONGEST = 1400;

/** The text of a token. */
export function textOf(token: string): string {
  if (token.startsWith(LONG)) return Buffer.from(token.slice(LONG.length), "base64url").toString("utf8");
  if (!token.includes("=")) return token;
  const bytes = token.replace(/=([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/** A row's key in its bucket. */
export const rowKey = (partition: string, sort: string): string => `${tokenOf(partition)}.${tokenOf(sort)}`;

/** The sort key in a row's subject. */
export const sortOf = (subject: string): string => textOf(subject.slice(subject.lastIndexOf(".") + 1));
