import { tmpdir } from "node:os";
import { handler as commit, type Transferred } from "../../../lib/handlers/transfer/commit.ts";
import { handler as copy } from "../../../lib/handlers/transfer/copy.ts";
import { handler as plan } from "../../../lib/handlers/transfer/plan.ts";
import type { TransferLinks, TransferRequest, TransferSettings } from "../../../lib/handlers/transfer/settings.ts";
import { type Clock, systemClock } from "../../../lib/runtime/clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { Context, Handler } from "../../../lib/runtime/handler.ts";

export const MB = 2 ** 20;

/** Settings with pieces as small as a store takes. */
const SETTINGS: TransferSettings = { overwrites: "older", workers: 4, piece: 5 * MB, toPrefix: "", buffer: 40 * MB };

export interface TransferOptions {
  readonly run?: string;
  /** What the functions get in place of the buckets. */
  readonly links?: Partial<TransferLinks>;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Milliseconds that every function has. */
  readonly time?: number;
  /** Called before every step. */
  readonly before?: (step: "plan" | "copy" | "commit") => unknown;
}

/** The workflow, in its simplest form: a step that fails, or answers a failure, fails the run. */
export const transferOf =
  (links: TransferLinks, given: Partial<TransferSettings> = {}, messages: string[] = []) =>
  async (request: TransferRequest, options: TransferOptions = {}): Promise<Transferred> => {
    const { run = "run", before = () => {} } = options;
    const settings = { ...SETTINGS, ...given };
    const call = <Payload, Result>(
      handler: Handler<never, TransferLinks, TransferSettings, Result>,
      payload: Payload,
    ): Promise<Result> => {
      const event = { type: "function.invoked", id: "call", payload, time: "" };
      return handler(event as never, contextOf({ ...links, ...options.links }, settings, messages, options));
    };
    await before("plan");
    const { groups } = await call(plan, { run, request });
    await before("copy");
    await Promise.all(
      groups.map(async ({ group }) => {
        for (let isOver = false, tries = 0; !isOver; tries += 1) {
          if (tries > 50) throw new Error("the worker gets nowhere");
          isOver = await call(copy, { run, group }).then(
            () => true,
            (error: unknown) => {
              if (error instanceof MillraceError && error.kind === "interrupted") return false;
              throw error;
            },
          );
        }
      }),
    );
    await before("commit");
    const { outcome, message, ...transferred } = await call(commit, { run });
    if (outcome !== "copied") throw new MillraceError(outcome, message);
    return transferred;
  };

function contextOf(
  links: TransferLinks,
  settings: TransferSettings,
  messages: string[],
  { signal = new AbortController().signal, clock = systemClock, time = 600_000 }: TransferOptions,
): Context<TransferLinks, TransferSettings> {
  const silent = () => {};
  return {
    links,
    settings,
    code: {},
    run: {
      id: "call",
      attempt: 1,
      deadline: clock.now() + time,
      progress: (fraction, message) => messages.push(`${fraction.toFixed(2)} ${message}`),
    },
    signal,
    log: { debug: silent, info: silent, warn: silent, error: silent },
    metrics: { count: silent, gauge: silent },
    clock,
    tools: {},
    scratch: tmpdir(),
  };
}
