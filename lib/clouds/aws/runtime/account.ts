import { globalAgent as httpAgent } from "node:http";
import { globalAgent as httpsAgent } from "node:https";
import { readAccessKeys } from "../../../runtime/access-keys.ts";
import type { PortWorld } from "../../../runtime/deployment.ts";

/** Keys of a role, with their token; or a user's own, without one. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** When the next ones are to be asked for. @default they are kept */
  readonly expiration?: Date;
}

/** What this cloud's ports need beside what all ports get. */
export interface AwsWorld extends PortWorld {
  /** The region the code runs in. Absent outside this cloud. */
  readonly region?: string;
  /** @default the SDK's own chain: environment, shared files, container, instance */
  readonly credentials?: () => Promise<AwsCredentials>;
}

/** The world of a port that is reached by a user's own keys, as a secret's text has them. */
export function worldBy(text: string, world: PortWorld, part: string): AwsWorld {
  const { id, secret, token } = readAccessKeys(text, part);
  const keys: AwsCredentials = { accessKeyId: id, secretAccessKey: secret, ...(token && { sessionToken: token }) };
  return { ...world, credentials: async () => keys };
}

/** Milliseconds until a connection has to be there, and that one may be silent. */
const CONNECT_TIMEOUT = 5_000;
const SILENCE = 60_000;

/**
 * How every client of the SDK is set up. Connections are the process's own, since clients go with their invocation
 * and connections are to outlive it.
 *
 * @param silence milliseconds that a connection may be silent; 0 is without end
 */
export const clientSettings = ({ credentials }: AwsWorld, region: string, endpoint?: string, silence = SILENCE) => ({
  region,
  ...(endpoint !== undefined && { endpoint }),
  ...(credentials && { credentials }),
  requestHandler: { httpAgent, httpsAgent, connectionTimeout: CONNECT_TIMEOUT, socketTimeout: silence },
});
