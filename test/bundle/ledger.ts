import type { BucketReader, Context, QueueSender, TableWriter } from "../../lib/runtime/index.ts";

interface Links {
  readonly store: BucketReader;
  readonly orders: QueueSender;
  readonly rows: TableWriter;
}

/** A handler as users write them, with three parts linked: it notes an object in a table, and tells a queue. */
export async function handler({ key }: { readonly key: string }, { links }: Context<Links>): Promise<void> {
  const found = await links.store.head(key);
  if (!found) return;
  await links.rows.put("objects", key, { size: found.size });
  await links.orders.send(key);
}
