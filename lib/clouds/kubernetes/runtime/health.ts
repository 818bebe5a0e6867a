import { createServer, type Server } from "node:http";

/**
 * Answers the probes of its pod, at the port of `MILLRACE_HEALTH_PORT`: `/livez` says whether it had better start again,
 * anything else whether it can work.
 *
 * @param isAlive by default whoever answers is
 * @returns nothing, if nobody asks
 */
export function answerHealth(
  { MILLRACE_HEALTH_PORT: port }: Readonly<Record<string, string | undefined>>,
  isReady: () => boolean,
  isAlive: () => boolean = () => true,
): Server | undefined {
  if (!port) return undefined;
  const server = createServer(({ url }, response) => {
    const isWell = url === "/livez" ? isAlive() : isReady();
    response.writeHead(isWell ? 200 : 503, { connection: "close" }).end();
  });
  return server.listen(Number(port));
}
