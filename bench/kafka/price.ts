import type { EtlRecord } from "../../lib/index.ts";

interface Order {
  readonly price: number;
  readonly count: number;
}

/** The job's transform as an operator. */
export const operator = ({ value }: EtlRecord<Order>) => ({
  ...value,
  total: Math.round(value.price * value.count * 100) / 100,
  state: "priced",
});
