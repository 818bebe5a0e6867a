import { MillraceError } from "../../runtime/errors.ts";
import type { StreamConsumed, StreamRecord } from "../../runtime/events.ts";
import type { Context, Handler } from "../../runtime/handler.ts";
import type { StreamClaimer, TaskSubmitter } from "../../runtime/ports.ts";
import type { SentTable } from "./ahead.ts";
import { grouped, portions } from "./batches.ts";
import { coordinatesOf, toConnector } from "./records.ts";
import { tablePlaces } from "./table-places.ts";
import { isConflict, type Tries, tried } from "./tries.ts";

export interface SubmitLinks {
  /** Where places lie in the stream. */
  readonly source?: StreamClaimer;
  /** Where they lie in a table. */
  readonly sent?: SentTable;
  readonly task: TaskSubmitter;
}

/** What came of a batch that is only handed on. */
export interface Submitted {
  readonly runs: number;
  readonly records: number;
  /** Records of before, given again. */
  readonly duplicates: number;
}

/**
 * Hands batches on as runs of a task. A run is called by the record it begins with, and says in its tags how far it goes:
 * a batch that comes again with another cut is answered the run that is there, and goes on behind it.
 */
export const handler: Handler<StreamConsumed, SubmitLinks, { readonly tries: number }, Submitted> = async (
  event,
  context,
) => {
  const counts = { runs: 0, records: 0, duplicates: 0 };
  const partitions = [...grouped(event.records, ({ partition }) => partition)];
  const ends = await Promise.allSettled(
    partitions.map(([partition, records]) => submitPartition(event.stream, partition, records, context, counts)),
  );
  if (counts.duplicates > 0) context.metrics.count("duplicates", counts.duplicates);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return counts;
};

type SubmitContext = Context<SubmitLinks, { readonly tries: number }>;
type Counting = { -readonly [Name in keyof Submitted]: number };

/** How often a partition is taken back from somebody else who works on it. */
const TAKEN_BACK = 5;

async function submitPartition(
  stream: string,
  partition: number,
  records: readonly StreamRecord[],
  { links, settings, clock, signal }: SubmitContext,
  counts: Counting,
): Promise<void> {
  const source = links.source ?? tablePlaces(links.sent!, stream);
  const tries: Tries = { tries: settings.tries, clock, signal };
  let rest = records;
  for (let number = 1; ; number += 1) {
    const claim = await tried(tries, () => source.claim(partition));
    let next = claim.next;
    const drop = () => {
      const fresh = rest.filter(({ offset }) => next === undefined || offset >= next);
      counts.duplicates += rest.length - fresh.length;
      rest = fresh;
    };
    drop();
    try {
      while (rest.length > 0) {
        const [some] = portions(rest);
        const last = await submit(stream, next ?? rest[0]!.offset, some!, links.task, tries);
        await tried(tries, () => claim.commit(last + 1));
        const done = rest.findIndex(({ offset }) => offset > last);
        const count = done === -1 ? rest.length : done;
        counts.runs += 1;
        counts.records += count;
        rest = rest.slice(count);
        next = last + 1;
      }
      return;
    } catch (error) {
      if (!isConflict(error)) throw error;
      if (number === TAKEN_BACK) {
        throw new MillraceError("unavailable", `partition ${partition} of ${stream} is being worked on by another`);
      }
    }
  }
}

/** The last offset of the run that begins there, which may have been there already. */
async function submit(
  stream: string,
  start: number,
  records: readonly StreamRecord[],
  task: TaskSubmitter,
  tries: Tries,
): Promise<number> {
  const { partition, offset: last } = records.at(-1)!;
  const id = coordinatesOf(stream, { partition, offset: start });
  const payload = records.map((record) => toConnector(stream, record));
  const tags = { stream, partition: String(partition), last: String(last) };
  const run = await tried(tries, () => task.submit(id, payload, { event: id, by: "dispatcher", tags }));
  const found = Number(run.tags.last);
  if (Number.isSafeInteger(found)) return found;
  throw new MillraceError("refused", `run "${id}" was not submitted by this pipeline: its tags say no last offset`);
}
