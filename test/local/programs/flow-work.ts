import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { Context, FunctionInvoked } from "../../../lib/runtime/index.ts";

/** What an order is. */
export interface Order {
  /** How many items it has. */
  readonly items: number;
  /** Items that cannot be packed at their first attempt. */
  readonly weak?: readonly number[];
  /** Milliseconds that packing takes. */
  readonly takes?: number;
  /** Seconds before the packing. */
  readonly pause?: number;
  readonly wrapped?: boolean;
  /** A step after the packing hangs at so many attempts. */
  readonly stuck?: number;
  readonly approval?: "queue" | "function";
}

export interface Item {
  readonly number: number;
  readonly weak: boolean;
  readonly takes: number;
}

/** One call of a step's function. */
export type Work =
  | { readonly does: "list"; readonly order: Order }
  | { readonly does: "pack"; readonly item: Item; readonly book?: string }
  | { readonly does: "hang"; readonly attempts: number }
  | { readonly does: "bill"; readonly items: readonly number[] }
  /** As a callback asks. */
  | { readonly callback: string; readonly input: { readonly order: string } };

/** Does a step, and notes it in a file outside of the cloud once it is done. */
export async function handler(
  { id, payload }: FunctionInvoked<Work>,
  { run, signal, settings }: Context<unknown, { readonly book: string }>,
) {
  const isAsked = "callback" in payload;
  const result = isAsked ? null : await work(payload, run.attempt, signal);
  const note = { event: id, run: isAsked ? payload.callback : `attempt ${run.attempt}`, status: "done" };
  appendFileSync(settings.book, `${JSON.stringify(note)}\n`);
  return result;
}

async function work(work: Exclude<Work, { readonly callback: string }>, attempt: number, signal: AbortSignal) {
  if (work.does === "list") {
    const { items, weak = [], takes = 0 } = work.order;
    return {
      items: Array.from({ length: items }, (_, number) => ({ number, weak: weak.includes(number), takes })),
    };
  }
  if (work.does === "bill") return { total: work.items.length };
  if (work.does === "hang") return hang(work.attempts, attempt);
  const { number, weak, takes } = work.item;
  await pause(takes, undefined, { signal });
  if (weak && attempt === 1) throw new Error(`${number} is not packed at the first attempt`);
  return number;
}

/** Nothing in the process comes to run any more: no signal, no timer. */
function hang(attempts: number, attempt: number): { readonly attempt: number } {
  if (attempt <= attempts) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  return { attempt };
}
