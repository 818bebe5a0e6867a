import { createConnection } from "node:net";
import { join } from "node:path";
import { installNats } from "../install/nats.ts";
import { type Server, startServer, withFreePorts } from "./server.ts";

export interface NatsServer extends Server {
  /** `nats://127.0.0.1:<port>` */
  readonly url: string;
}

/** A NATS server with JetStream, on files of its own. */
export async function startNats(): Promise<NatsServer> {
  const command = await installNats();
  return withFreePorts(1, async (port) => {
    const server = await startServer({
      name: "nats",
      command,
      args: (folder) => ["-a", "127.0.0.1", "-p", `${port}`, "-js", "-sd", join(folder, "jetstream")],
      ready: () => greets(port),
    });
    return { url: `nats://127.0.0.1:${port}`, ...server };
  });
}

/** The server speaks first, with a line `INFO {…}`. https://docs.nats.io/reference/reference-protocols/nats-protocol */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.once("error", reject);
    socket.once("data", (bytes) => {
      socket.destroy();
      resolve(bytes.toString().includes('"jetstream":true'));
    });
  });
}
