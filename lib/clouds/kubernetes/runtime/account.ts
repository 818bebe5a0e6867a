import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { PortWorld } from "../../../runtime/deployment.ts";

/** What this cloud's ports need beside what all ports get. */
export interface KubernetesWorld extends PortWorld {
  /** The connection to NATS: one for a process, made when it is first asked for. */
  nats(): Promise<NatsConnection>;
  /** What subjects and streams of the stack begin with. */
  readonly prefix: string;
}

/** Where NATS is, and who we are to it. */
export interface NatsAccess {
  /** `nats://host:port`, or `tls://` where nothing may go unencrypted; several with commas between them. */
  readonly url: string;
  /** Shown by the server's own tools. */
  readonly name: string;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
}

/** The access that a deployment has written: its place, and the credentials in variables of their own. */
export const natsAccess = (
  place: Readonly<Record<string, string>>,
  variables: Readonly<Record<string, string | undefined>>,
): NatsAccess => {
  const { NATS_USER: user, NATS_PASSWORD: password, NATS_TOKEN: token } = variables;
  if (place.nats === undefined) throw new Error("the place has no url of NATS: deploy the function again");
  return {
    url: place.nats,
    name: place.prefix ?? "millrace",
    ...(user && { user }),
    ...(password && { password }),
    ...(token && { token }),
  };
};

/** A process's one connection, as it is shared by its ports. */
export interface SharedNats {
  /** Made at the first call; the same one from then on. A failed one is tried again at the next call. */
  nats(): Promise<NatsConnection>;
  /** Whether the server is there at this moment; so too before anybody has asked for it. */
  isConnected(): boolean;
  /** Ends it, once what is on its way has gone out. */
  close(): Promise<void>;
}

/** A connection that comes back for ever: a server that is away for an hour is no reason to end a process. */
export function sharedNats(access: NatsAccess): SharedNats {
  let connection: Promise<NatsConnection> | undefined;
  let isConnected = true;
  const open = async () => {
    const { user, password, token } = access;
    const servers = access.url.split(",").map((url) => url.trim());
    const nats = await connect({
      servers,
      name: access.name,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT,
      pingInterval: PING_INTERVAL,
      ...(servers.some((url) => url.startsWith("tls://")) && { tls: {} }),
      ...(user !== undefined && { user }),
      ...(password !== undefined && { pass: password }),
      ...(token !== undefined && { token }),
    });
    void watch(nats);
    return nats;
  };
  const watch = async (nats: NatsConnection) => {
    for await (const { type } of nats.status()) {
      if (type === "disconnect" || type === "reconnect") isConnected = type === "reconnect";
    }
  };
  return {
    nats() {
      connection ??= open().catch((error: unknown) => {
        connection = undefined;
        throw error;
      });
      return connection;
    },
    isConnected: () => isConnected,
    async close() {
      const nats = await connection?.catch(() => undefined);
      // What cannot go out any more, because the server is away, must not keep the process.
      if (nats && !nats.isClosed()) await (isConnected ? nats.drain() : nats.close());
    },
  };
}

/** Milliseconds between two tries to come back. */
const RECONNECT_WAIT = 1000;
/** Milliseconds between two looks whether the other side is still there: two of them unanswered, and it is not. */
const PING_INTERVAL = 15_000;
