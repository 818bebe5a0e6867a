import { connect } from "node:net";
import { sleep } from "./clock.ts";
import { field, type LinkAddress, type PortWorld } from "./deployment.ts";
import { MillraceError } from "./errors.ts";
import type { FunctionInvoker } from "./ports.ts";
import { callProgram } from "./program.ts";

/** A program that is still starting is waited for so long, in milliseconds: an image may load a model first. */
const STARTING = 120_000;
const PAUSE = 100;

/**
 * A program in a container beside this process: `url` is where it listens, `timeout` the seconds that a call may take.
 *
 * @param starting milliseconds that it may take to listen. @default 2 minutes
 */
export function sidecar(address: LinkAddress, world: PortWorld, starting = STARTING): FunctionInvoker {
  const url = field(address, "url");
  const seconds = Number(field(address, "timeout"));
  return {
    async invoke<Result>(payload: unknown): Promise<Result> {
      await listening(url, world, starting);
      return (await inTime(world, seconds, (signal) => callProgram(url, payload, signal))) as Result;
    },
  };
}

/** Resolves once somebody takes connections there: a request that is sent twice could do its work twice. */
async function listening(url: string, { clock, signal }: PortWorld, starting: number): Promise<void> {
  const until = clock.now() + starting;
  while (!(await isListening(url))) {
    if (clock.now() >= until) {
      throw new MillraceError(
        "unavailable",
        `nothing listens at ${url}, ${starting / 1000} seconds after it was asked`,
      );
    }
    await sleep(clock, PAUSE, signal);
  }
}

const isListening = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) });
    const answer = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => answer(true)).once("error", () => answer(false));
  });

async function inTime<Value>(
  { clock, signal }: PortWorld,
  seconds: number,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const late = new AbortController();
  const cancel = clock.at(clock.now() + seconds * 1000, () =>
    late.abort(new MillraceError("timed-out", `the program took longer than its ${seconds} seconds`)),
  );
  try {
    return await work(AbortSignal.any([signal, late.signal]));
  } finally {
    cancel();
  }
}
