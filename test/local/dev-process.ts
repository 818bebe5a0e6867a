import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { connectLocal, type LocalClient } from "../../lib/clouds/local/client.ts";
import { PROJECT, type Scene, VIDEOS } from "./scene.ts";

const BIN = fileURLToPath(new URL("../../bin/millrace.js", import.meta.url));

/** `millrace dev` in a process of its own, as a user starts it. */
export interface DevProcess {
  readonly client: LocalClient;
  readonly child: ChildProcess;
  /** Resolves when it answers; rejects if it ends before, with what it has said. */
  readonly ready: Promise<void>;
  /** Events it has printed so far. */
  readonly events: readonly { readonly type: string }[];
  /** Sends the signal, and resolves with how it ended and what it said. */
  end(signal: NodeJS.Signals): Promise<Ended>;
  readonly ended: Promise<Ended>;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly said: string;
}

export interface DevProcessOptions {
  /** @default the program with videos */
  readonly program?: string;
  /** What starts the command, such as a shell that sets limits. @default it is started itself */
  readonly by?: readonly string[];
  /** The broker that streams lie in. @default the local cloud keeps them */
  readonly kafka?: string;
}

export function startDevProcess(
  { folder, env }: Pick<Scene, "folder" | "env">,
  { program = VIDEOS, by = [], kafka }: DevProcessOptions = {},
): DevProcess {
  const [command, ...args] = [...by, process.execPath, BIN, "dev", program, "--folder", folder, "--json"];
  if (kafka !== undefined) args.push("--kafka", kafka);
  const child = spawn(command!, args, {
    cwd: PROJECT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const events: { readonly type: string }[] = [];
  let [rest, said] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, said }) as Ended);
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) events.push(JSON.parse(line) as { readonly type: string });
      if (events.some(({ type }) => type === "ready")) resolve();
    });
    void ended.then(({ said }) => reject(new Error(`it ended before it was ready: ${said}`)));
  });
  ready.catch(() => {});
  return {
    client: connectLocal({ folder }),
    child,
    ready,
    events,
    ended,
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}
