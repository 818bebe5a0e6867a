import { MillraceError } from "../../runtime/errors.ts";
import type { PartitionClaim, StreamClaimer } from "../../runtime/ports.ts";
import type { SentTable } from "./ahead.ts";
import { isConflict } from "./tries.ts";

interface Held {
  readonly next?: number;
}

/**
 * Places in a table, for a Kafka without transactions: who claims a partition writes its row anew, and so commits nothing
 * any more who had it before. What is sent with a commit is sent before it: twice, if that is all that was done.
 */
export const tablePlaces = (table: SentTable, stream: string): StreamClaimer => ({
  stream,
  async claim(partition) {
    const row = [`${stream}-${partition}`, "place"] as const;
    const taken = await take(table, row);
    let { version } = taken;
    const claim: PartitionClaim = {
      partition,
      next: taken.next,
      async commit(next, sends = []) {
        if ((await table.get(...row))?.version !== version) {
          throw new MillraceError("conflict", `partition ${partition} of ${stream} was claimed by another`);
        }
        for (const { to, records } of sends) await to.send(records);
        version = await table.put(...row, { next } satisfies Held, { ifVersion: version });
      },
    };
    return claim;
  },
});

/** How often somebody else may be quicker. */
const TRIES = 5;

async function take(table: SentTable, row: readonly [partition: string, sort: string]) {
  for (let number = 1; ; number += 1) {
    const found = await table.get<Held>(...row);
    const held = found?.value ?? {};
    try {
      return { ...held, version: await table.put(...row, held, { ifVersion: found?.version ?? "absent" }) };
    } catch (error) {
      if (!isConflict(error)) throw error;
      if (number === TRIES) throw new MillraceError("unavailable", `others claim ${row[0]}, again and again`);
    }
  }
}
