import type { Context, StreamClaimer, StreamConsumed, StreamProducer } from "../../../lib/runtime/index.ts";
import type { Order } from "./streams-count.ts";

interface Links {
  readonly orders: StreamClaimer;
  readonly results: StreamProducer;
}

/** Sends the number of each order on, once: what was done before the batch was given again is passed over. */
export async function handler({ records }: StreamConsumed, { links }: Context<Links>): Promise<void> {
  const claim = await links.orders.claim(records[0]!.partition);
  const news = records.filter(({ offset }) => offset >= (claim.next ?? 0));
  if (news.length === 0) return;
  const results = news.map(({ key, value }) => {
    const { number } = JSON.parse(Buffer.from(value!).toString()) as Order;
    return { ...(key && { key }), value: String(number) };
  });
  await claim.commit(records.at(-1)!.offset + 1, [{ to: links.results, records: results }]);
}
