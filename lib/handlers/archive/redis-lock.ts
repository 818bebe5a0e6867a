import { randomUUID } from "node:crypto";
import { createClient } from "redis";
import { MillraceError } from "../../runtime/errors.ts";
import type { SlotLock } from "./archive.ts";

/** A Redis, and who connects. */
export interface RedisOptions {
  readonly url: string;
  /** Whose locks they are, of all that use this Redis. */
  readonly space: string;
  readonly user: () => Promise<{ readonly username?: string; readonly password?: string }>;
  /** Told of connections that break: they are made again. */
  readonly onTrouble: (error: Error) => void;
}

/** An answer, or a connection, that takes longer is none; milliseconds. */
const PATIENCE = 2000;

/** Only who has the lock gives it back. https://redis.io/docs/latest/commands/set/#patterns */
const RELEASE = 'if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end';

/**
 * Locks that a Redis keeps, each until its time is over. They make writers wait; that nothing is written twice does not
 * hang on them, but on the table.
 */
export function redisLock({ url, space, user, onTrouble }: RedisOptions): SlotLock & AsyncDisposable {
  let connection: Promise<Client> | undefined;
  const connected = async (): Promise<Client> => {
    connection ??= user().then((who) => connect(url, who, onTrouble));
    return connection;
  };
  /** The next one who asks makes another connection. */
  const letGo = async (): Promise<void> => {
    const client = await connection?.catch(() => undefined);
    connection = undefined;
    if (client?.isOpen) client.destroy();
  };
  const ask = async <Answer>(work: (client: Client) => Promise<Answer>): Promise<Answer> => {
    try {
      const client = await connected();
      return await within(work(client));
    } catch (error) {
      await letGo();
      throw new MillraceError("unavailable", `Redis does not answer: ${(error as Error).message}`, { cause: error });
    }
  };
  return {
    async take(name, lease) {
      const key = `millrace:${space}:${name}`;
      const token = randomUUID();
      const set = await ask((client) =>
        client.set(key, token, { condition: "NX", expiration: { type: "PX", value: lease } }),
      );
      if (set === null) return undefined;
      return async () => {
        await ask((client) => client.eval(RELEASE, { keys: [key], arguments: [token] }));
      };
    },
    [Symbol.asyncDispose]: letGo,
  };
}

type Client = ReturnType<typeof createClient>;

/** Nothing is queued while the connection is broken: whoever asks is told, and asks again. */
async function connect(
  url: string,
  user: { readonly username?: string; readonly password?: string },
  onTrouble: (error: Error) => void,
): Promise<Client> {
  const client = createClient({
    url,
    ...user,
    disableOfflineQueue: true,
    socket: { connectTimeout: PATIENCE, reconnectStrategy: false },
  });
  client.on("error", onTrouble);
  await within(client.connect());
  return client as Client;
}

async function within<Answer>(work: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE} ms`)), PATIENCE);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
