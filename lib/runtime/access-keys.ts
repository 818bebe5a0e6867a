import { MillraceError } from "./errors.ts";

/** Keys to what lies on another cloud, or with another account there. */
export interface AccessKeys {
  readonly id: string;
  readonly secret: string;
  /** Temporary ones have it. */
  readonly token?: string;
}

/**
 * Keys as a secret holds them: `{ "accessKeyId", "accessKeySecret" | "secretAccessKey", "securityToken" | "sessionToken"? }`.
 *
 * @param part the secret's name
 * @throws `bad-input` if they are not there; nothing of the text is in the error.
 */
export function readAccessKeys(text: string, part: string): AccessKeys {
  const { accessKeyId, accessKeySecret, secretAccessKey, securityToken, sessionToken } = fieldsOf(text);
  const secret = accessKeySecret ?? secretAccessKey;
  const token = securityToken ?? sessionToken;
  if (isText(accessKeyId) && isText(secret)) return { id: accessKeyId, secret, ...(isText(token) && { token }) };
  throw new MillraceError(
    "bad-input",
    `secret "${part}" holds no keys: JSON is wanted, { "accessKeyId": "…", "accessKeySecret": "…" }, with "securityToken" where they are temporary`,
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
