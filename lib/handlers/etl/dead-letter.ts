import type { ErrorRecord } from "../../runtime/errors.ts";
import type { StreamRecord } from "../../runtime/events.ts";
import type { NewRecord } from "../../runtime/ports.ts";
import type { PayloadReference } from "../../runtime/tasks/envelope.ts";
import type { RecordFailure } from "./operators.ts";
import { type ConnectorRecord, toConnector } from "./records.ts";

/** What is told of a record that nothing can be made of. */
export interface DeadLetter {
  /** As it came; of a very large one the value is left out (`overflowFlag`), and `reference` has it all. */
  readonly record: ConnectorRecord;
  readonly reference?: PayloadReference;
  readonly error: Pick<ErrorRecord, "kind" | "message">;
  /** Which step gave up: `format`, an operator's place from 1 on, `key` or `to`. */
  readonly operator: string;
  /** When it was given up; ISO 8601. */
  readonly time: string;
}

export const deadLetterOf = (
  stream: string,
  record: StreamRecord,
  { error, operator }: RecordFailure,
  now: number,
): DeadLetter => ({
  record: toConnector(stream, record),
  error,
  operator,
  time: new Date(now).toISOString(),
});

/** Characters of a key that stay in a letter whose record lies elsewhere. */
const KEY_SHOWN = 256;

/** The letter without what may be large. */
export const referred = (letter: DeadLetter, reference: PayloadReference): DeadLetter => {
  const { headers: _, key, ...rest } = letter.record;
  return {
    ...letter,
    record: { ...rest, key: key?.slice(0, KEY_SHOWN) ?? null, value: null, overflowFlag: true },
    reference,
  };
};

/** The record as it was, for a stream of dead letters; its headers say what became of it. */
export const deadRecord = (
  stream: string,
  { key, value, headers, partition, offset, timestamp }: StreamRecord,
  { error, operator }: RecordFailure,
): NewRecord => ({
  ...(key && { key }),
  ...(value && { value }),
  timestamp,
  headers: {
    ...headers,
    "millrace-error": error.kind,
    "millrace-message": error.message,
    "millrace-operator": operator,
    "millrace-stream": stream,
    "millrace-partition": String(partition),
    "millrace-offset": String(offset),
  },
});
