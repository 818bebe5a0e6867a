import type { EtlRecord } from "../../../lib/index.ts";

/** Every tenth number is poison. */
export function operator({ value: { n } }: EtlRecord<{ readonly n: number }>) {
  if (n % 10 === 7) throw new Error(`no ${n}, please`);
  return { n };
}
