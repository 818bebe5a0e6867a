import { systemClock } from "../../lib/runtime/clock.ts";
import { connect, type Deployment, type LinkAddress } from "../../lib/runtime/deployment.ts";
import type { StreamConsumed } from "../../lib/runtime/events.ts";
import type { Context, Handler } from "../../lib/runtime/handler.ts";

/** An entry whose function is told its links with each call, as platforms tell them to the process. */
export const start =
  ({ handler, code, settings, ports }: Deployment) =>
  async (event: StreamConsumed, addresses: Readonly<Record<string, LinkAddress>>): Promise<unknown> => {
    const signal = AbortSignal.timeout(60_000);
    const log = { debug() {}, info() {}, warn: console.error, error: console.error };
    const world = { signal, clock: systemClock, log, files: "/nowhere" };
    const context: Context = {
      ...{ ...world, settings, code, links: await connect(ports, addresses, world) },
      run: { id: event.id, attempt: 1, deadline: Number.MAX_SAFE_INTEGER, progress() {} },
      metrics: { count() {}, gauge() {} },
      ...{ tools: {}, scratch: "/nowhere" },
    };
    return (handler as unknown as Handler<StreamConsumed>)(event, context);
  };
