import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { Context, StreamConsumed } from "../../../lib/runtime/index.ts";

/** What a record asks for. */
export interface Order {
  readonly number: number;
  /** Milliseconds that its batch takes at least. */
  readonly takes?: number;
  /** It fails whenever it is tried, or only at its first attempt. */
  readonly fails?: "always" | "first";
}

/** One batch, as it began and as it was done. */
export interface BatchNote {
  readonly what: "begin" | "done";
  readonly attempt: number;
  readonly partition: number;
  readonly first: number;
  readonly count: number;
  /** In order; of a batch of many, none. */
  readonly numbers: readonly number[];
}

const MOST_NUMBERS = 100;

/** Notes each batch in a file outside of the cloud. */
export async function handler(
  { records }: StreamConsumed,
  { run, settings }: Context<unknown, { readonly book: string }>,
): Promise<void> {
  const orders = records.map(({ value }) => JSON.parse(Buffer.from(value!).toString()) as Order);
  const { partition, offset: first } = records[0]!;
  const numbers = orders.length > MOST_NUMBERS ? [] : orders.map(({ number }) => number);
  const note = (what: BatchNote["what"]) =>
    appendFileSync(
      settings.book,
      `${JSON.stringify({ what, attempt: run.attempt, partition, first, count: records.length, numbers })}\n`,
    );
  if (new Set(records.map((record) => record.partition)).size > 1) throw new Error("a batch of several partitions");
  note("begin");
  const takes = Math.max(...orders.map(({ takes = 0 }) => takes));
  if (takes > 0) await pause(takes);
  const bad = orders.find(({ fails }) => fails === "always" || (fails === "first" && run.attempt === 1));
  if (bad) throw new Error(`order ${bad.number} cannot be counted`);
  note("done");
}
