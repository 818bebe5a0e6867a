import { createConnection } from "node:net";
import { installRedis } from "../install/redis.ts";
import { type Server, startServer, withFreePorts } from "./server.ts";

export interface RedisServer extends Server {
  readonly port: number;
  /** `redis://127.0.0.1:<port>` */
  readonly url: string;
}

/** A Redis that keeps nothing on disk. */
export async function startRedis({
  port: wanted,
  password,
}: {
  /** @default a free one */
  readonly port?: number;
  /** @default nobody is asked */
  readonly password?: string;
} = {}): Promise<RedisServer> {
  const command = await installRedis();
  const start = async (port: number): Promise<RedisServer> => {
    const secret = password === undefined ? [] : ["--requirepass", password];
    const server = await startServer({
      name: "redis",
      command,
      args: (folder) => ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", "", ...secret],
      ready: () => answers(port),
    });
    return { port, url: `redis://127.0.0.1:${port}`, ...server };
  };
  return wanted === undefined ? withFreePorts(1, start) : start(wanted);
}

/** It answers a line, be it that it wants to know who asks. https://redis.io/docs/latest/develop/reference/protocol-spec/ */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: "127.0.0.1", port }, () => socket.write("PING\r\n"));
    socket.once("error", reject);
    socket.once("data", (bytes) => {
      socket.destroy();
      resolve(/^(\+PONG|-NOAUTH)/.test(bytes.toString()));
    });
  });
}
