import { kafkaDataOf, topicRecordOf } from "../../../runtime/connector-records.ts";
import { type ConsumedContext, toConsumed } from "../../../runtime/consumed.ts";
import type { StreamConsumed } from "../../../runtime/events.ts";
import { topicKey } from "../../../shared/environment.ts";

/**
 * One event for each stream, its records in order in each of their partitions; nothing if what came are no records.
 *
 * @param parts what the call brought, each part of JSON
 * @throws `bad-input` for a record that came without its value
 */
export function toStreamConsumed(
  parts: readonly unknown[],
  context: ConsumedContext,
): readonly StreamConsumed[] | undefined {
  const told = parts.flatMap((part) => {
    const found = kafkaDataOf(part);
    // Bare data could be anybody's payload: it is a record of a topic that the function consumes.
    return found && (!found.isBare || topicKey(found.data.topic) in context.sources) ? [found.data] : [];
  });
  if (told.length === 0 || told.length < parts.length) return undefined;
  return toConsumed(told.map(topicRecordOf), context);
}
