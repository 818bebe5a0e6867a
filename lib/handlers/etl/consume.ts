import { MillraceError } from "../../runtime/errors.ts";
import type { StreamConsumed, StreamRecord } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import { Ahead } from "./ahead.ts";
import { grouped, portions } from "./batches.ts";
import { type Counts, Delivery, type EtlContext, type EtlLinks } from "./deliver.ts";
import type { EtlCode } from "./operators.ts";
import type { EtlSettings } from "./settings.ts";
import { tablePlaces } from "./table-places.ts";
import { isConflict, tried } from "./tries.ts";

/** Delivers a batch of a stream before it answers: records of one partition in their order. */
export const handler: Handler<StreamConsumed, EtlLinks, EtlSettings, Counts, EtlCode> = async (event, context) => {
  const delivery = await Delivery.of(context);
  const partitions = [...grouped(event.records, ({ partition }) => partition)];
  const ends = await Promise.allSettled(
    partitions.map(([partition, records]) => deliverPartition(delivery, event.stream, partition, records, context)),
  );
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return delivery.counts;
};

/** How often a partition is taken back from somebody else who works on it. */
const TAKEN_BACK = 5;

async function deliverPartition(
  delivery: Delivery,
  stream: string,
  partition: number,
  records: readonly StreamRecord[],
  { links, settings }: EtlContext,
): Promise<void> {
  const source = settings.places === "table" ? tablePlaces(links.sent!, stream) : links.source!;
  let rest = records;
  for (let number = 1; ; number += 1) {
    const claim = await tried(delivery.tries, () => source.claim(partition));
    let next = claim.next;
    const fresh = rest.filter(({ offset }) => next === undefined || offset >= next);
    delivery.skip(rest.length - fresh.length);
    if (fresh.length === 0) return;
    const place = {
      get start() {
        return next ?? fresh[0]!.offset;
      },
      async commit(...asked: Parameters<typeof claim.commit>) {
        await claim.commit(...asked);
        next = asked[0];
      },
    };
    try {
      const ahead = new Ahead(links.sent, `${stream}-${partition}`, "ahead", delivery.tries);
      for (const some of portions(fresh)) await delivery.deliver(stream, some, place, ahead);
      return;
    } catch (error) {
      if (!isConflict(error)) throw error;
      if (number === TAKEN_BACK) {
        throw new MillraceError("unavailable", `partition ${partition} of ${stream} is being worked on by another`);
      }
      rest = fresh.filter(({ offset }) => next === undefined || offset >= next);
    }
  }
}
