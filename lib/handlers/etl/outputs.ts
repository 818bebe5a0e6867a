import { MillraceError, toErrorRecord } from "../../runtime/errors.ts";
import type { StreamRecord } from "../../runtime/events.ts";
import { type Evaluate, expressionOf } from "./expression.ts";
import type { Processed, RecordFailure } from "./operators.ts";
import { coordinatesOf, type RecordFormat, textOf, toText } from "./records.ts";
import type { EtlSettings } from "./settings.ts";

/** What comes of a record, ready to be sent. */
export interface Output {
  /** `<stream>-<partition>-<offset>`, and `-<n>` of every further output of its record. */
  readonly id: string;
  /** As JSON; bytes and texts go into a stream as they are. */
  readonly body: string | Uint8Array;
  /** What the pipeline's `key` says of it. */
  readonly key?: string;
}

/** A record with all that comes of it, or why nothing does. */
export interface Finished {
  readonly record: StreamRecord;
  readonly outputs: readonly Output[];
  readonly failure?: RecordFailure;
}

/** Turns values into outputs: one that can't be written, or has no key where one is wanted, kills its record. */
export type Finish = (stream: string, processed: readonly Processed[]) => Promise<readonly Finished[]>;

export async function finishing({ to, key, format }: EtlSettings): Promise<Finish> {
  const write = to === "stream" || to === "same-kafka" ? (value: unknown) => inStream(value, format) : toJsonText;
  const evaluate = key === undefined ? undefined : await expressionOf(key);
  return async (stream, processed) => {
    const finished: Finished[] = [];
    for (const { record, values, failure } of processed) {
      if (failure) {
        finished.push({ record, outputs: [], failure });
        continue;
      }
      let step = "to";
      try {
        const id = coordinatesOf(stream, record);
        const outputs: Output[] = values.map((value, index) => ({
          id: index === 0 ? id : `${id}-${index}`,
          body: write(value),
        }));
        step = "key";
        finished.push({
          record,
          outputs: evaluate ? await withKeys(stream, record, values, outputs, evaluate) : outputs,
        });
      } catch (error) {
        const { kind, message } = toErrorRecord(error);
        finished.push({ record, outputs: [], failure: { error: { kind, message }, operator: step } });
      }
    }
    return finished;
  };
}

async function withKeys(
  stream: string,
  record: StreamRecord,
  values: readonly unknown[],
  outputs: readonly Output[],
  evaluate: Evaluate,
): Promise<readonly Output[]> {
  const { partition, offset, timestamp } = record;
  const rest = { key: record.key && textOf(record.key), headers: {}, stream, partition, offset, timestamp };
  const keyed: Output[] = [];
  for (const [index, output] of outputs.entries()) {
    const key = await evaluate({ ...rest, value: values[index] });
    if (typeof key !== "string" && typeof key !== "number") {
      throw new MillraceError("bad-input", `the output has no key: a text or number is wanted, got ${typeof key}`);
    }
    keyed.push({ ...output, key: String(key) });
  }
  return keyed;
}

function inStream(value: unknown, format: RecordFormat): Uint8Array | string {
  if (value instanceof Uint8Array) return value;
  return typeof value === "string" && format !== "json" ? value : toJsonText(value);
}

/** A value as JSON: bytes are their text, or base64 where they are none. */
function toJsonText(value: unknown): string {
  const text = JSON.stringify(value instanceof Uint8Array ? toText(value).text : value) as string | undefined;
  if (text !== undefined) return text;
  throw new MillraceError("bad-input", `an operator answers what JSON can hold, got a ${typeof value}`);
}
