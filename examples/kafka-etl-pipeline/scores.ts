import { setTimeout as pause } from "node:timers/promises";
import type { EtlRecord, OperatorContext } from "../../lib/index.ts";

/** A text to be scored, and how long that takes. */
export interface Job {
  readonly text: string;
  readonly seconds?: number;
}

/** Work that takes its time, and ends at once when its run is stopped. */
export async function operator({ value }: EtlRecord<Job>, { signal }: OperatorContext) {
  await pause((value.seconds ?? 0) * 1000, undefined, { signal });
  return { text: value.text, score: value.text.length };
}
