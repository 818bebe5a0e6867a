import { createServer, type Server } from "node:http";

/**
 * Answers the probes of its pod, at the port of `MILLRACE_HEALTH_PORT`: `/livez` says that the process answers, anything
 * else whether it can work.
 *
 * @returns nothing, if nobody asks
 */
export function answerHealth(
  { MILLRACE_HEALTH_PORT: port }: Readonly<Record<string, string | undefined>>,
  isReady: () => boolean,
): Server | undefined {
  if (!port) return undefined;
  const server = createServer(({ url }, response) => {
    response.writeHead(url === "/livez" || isReady() ? 200 : 503, { connection: "close" }).end();
  });
  return server.listen(Number(port));
}
