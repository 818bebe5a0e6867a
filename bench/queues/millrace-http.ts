import { fork } from "node:child_process";
import { once } from "node:events";
import { connectLocal } from "../../lib/clouds/local/client.ts";
import type { Contender } from "./contender.ts";
import { contenderOf } from "./millrace.ts";

/** Millrace's local cloud in a process of its own; submits go over HTTP, as from a user's backend. */
export async function start(folder: string, concurrency: number): Promise<Contender> {
  const server = fork(new URL("./millrace-server.ts", import.meta.url), [folder, String(concurrency)]);
  const ended = once(server, "exit");
  const [target] = (await Promise.race([
    once(server, "message"),
    ended.then(() => Promise.reject(new Error("the local cloud did not start"))),
  ])) as [{ readonly url: string; readonly token: string }];
  return {
    concurrency,
    ...contenderOf(connectLocal(target).tasks),
    async close() {
      server.disconnect();
      await ended;
    },
  };
}
