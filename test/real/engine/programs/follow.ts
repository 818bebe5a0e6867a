import type { Context, StreamClaimer, StreamConsumed, StreamProducer } from "../../../../lib/runtime/index.ts";

interface Links {
  readonly orders: StreamClaimer;
  readonly done: StreamProducer;
}

/** Hands on what it gets, each record once. */
export async function handler({ records }: StreamConsumed, { links }: Context<Links>) {
  for (const { partition, offset, value } of records) {
    const place = await links.orders.claim(partition);
    if (offset < (place.next ?? 0)) continue;
    await place.commit(offset + 1, [{ to: links.done, records: [{ partition, ...(value && { value }) }] }]);
  }
}
