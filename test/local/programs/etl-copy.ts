import type { EtlRecord } from "../../../lib/index.ts";

/** Where the record was is part of what comes of it: who counts can tell one record from another with the same number. */
export function operator({ value: { n }, partition, offset }: EtlRecord<{ readonly n: number }>) {
  if (n % 100 === 99) throw new Error(`no ${n}, please`);
  return { n, at: `${partition}-${offset}` };
}
