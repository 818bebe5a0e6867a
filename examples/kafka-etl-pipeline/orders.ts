import { z } from "zod";
import type { EtlRecord } from "../../lib/index.ts";

/** What a shop writes down of each order; a record that is another one goes to the dead letters. */
export const schema = z.object({
  id: z.string(),
  customer: z.string(),
  items: z.array(z.object({ name: z.string(), price: z.number(), count: z.int().positive().default(1) })),
});

/** The order with its total, in cents. */
export function operator({ value: order }: EtlRecord<z.infer<typeof schema>>) {
  const total = order.items.reduce((sum, { price, count }) => sum + price * count, 0);
  return { ...order, total: Math.round(total * 100) };
}
