import { readAccessKeys } from "../../../runtime/access-keys.ts";
import type { PortWorld } from "../../../runtime/deployment.ts";

/** Temporary keys, as Function Compute gives them to each invocation; or a user's own, without a token. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly securityToken?: string;
}

/** What this cloud's ports need beside what all ports get. */
export interface AlicloudWorld extends PortWorld {
  /** The region the code runs in; endpoints inside it are the internal ones. Absent outside this cloud. */
  readonly region?: string;
  /** Asked at every request: an instance lives longer than its first keys. */
  readonly credentials: () => Credentials;
}

/** The world of a port that is reached by a user's own keys, as a secret's text has them. */
export function worldBy(text: string, world: PortWorld, part: string): AlicloudWorld {
  const { id, secret, token } = readAccessKeys(text, part);
  const keys: Credentials = { accessKeyId: id, accessKeySecret: secret, ...(token && { securityToken: token }) };
  return { ...world, credentials: () => keys };
}
