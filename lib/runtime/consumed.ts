import { topicKey } from "../shared/environment.ts";
import type { StreamConsumed, StreamRecord } from "./events.ts";

/** A record as a platform brings it. */
export interface TopicRecord {
  readonly topic: string;
  readonly record: StreamRecord;
}

/** What is known of the place where records come in. */
export interface ConsumedContext {
  /** ISO 8601. */
  readonly now: string;
  /** Logical names of streams by the keys of their topics, among those of other sources. */
  readonly sources: Readonly<Record<string, string>>;
}

/** What a platform brings in one call, as one event for each stream; its records stay in the order in which they came. */
export function toConsumed(
  records: readonly TopicRecord[],
  { now, sources }: ConsumedContext,
): readonly StreamConsumed[] {
  const topics = new Map<string, StreamRecord[]>();
  for (const { topic, record } of records) {
    const known = topics.get(topic);
    if (known) known.push(record);
    else topics.set(topic, [record]);
  }
  return [...topics].map(([topic, all]) => {
    const stream = sources[topicKey(topic)] ?? topic;
    const { partition, offset } = all[0]!;
    return { type: "stream.consumed", id: `${stream}-${partition}-${offset}`, stream, records: all, time: now };
  });
}
