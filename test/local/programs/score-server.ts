import { createServer } from "node:http";
import { json } from "node:stream/consumers";

/** What stands for a container: adds numbers, fails when asked to, and ends when asked to. */
createServer(async (request, response) => {
  if (request.method !== "POST" || request.url !== "/invoke") return response.end("{}");
  const { pixels } = (await json(request)) as { pixels: readonly number[] };
  if (pixels.length === 0) return response.writeHead(422).end(JSON.stringify({ errorMessage: "there are no pixels" }));
  if (pixels[0] === -1) process.exit(3);
  const sum = pixels.reduce((one, other) => one + other, 0);
  return response.end(JSON.stringify({ sum, by: process.pid }));
}).listen(Number(process.env.PORT), "127.0.0.1");
