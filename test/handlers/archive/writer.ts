/** A writer in a process of its own: it gets batches, and asks its parent for the table. */
import { archive } from "../../../lib/handlers/archive/archive.ts";
import type { AppendSettings } from "../../../lib/handlers/archive/settings.ts";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { type ErrorRecord, fromErrorRecord, toErrorRecord } from "../../../lib/runtime/errors.ts";
import type { StreamConsumed, StreamRecord } from "../../../lib/runtime/events.ts";
import type { Table } from "./world.ts";

/** What a writer is told. */
export type ToWriter =
  | {
      readonly batch: number;
      readonly records: readonly WireRecord[];
      readonly volume: string;
      readonly settings: AppendSettings;
    }
  | { readonly answer: number; readonly value?: unknown; readonly error?: ErrorRecord };
/** What a writer says. */
export type FromWriter =
  | { readonly ask: number; readonly method: keyof Table; readonly args: readonly unknown[] }
  | { readonly done: number; readonly error?: ErrorRecord };
export type WireRecord = Omit<StreamRecord, "value" | "headers"> & { readonly value: string };

const waiting = new Map<number, (answer: { value?: unknown; error?: ErrorRecord }) => void>();
let asked = 0;
const say = (message: FromWriter) => void process.send!(message);
const ask =
  (method: keyof Table) =>
  async (...args: readonly unknown[]) => {
    const number = ++asked;
    const { value, error } = await new Promise<{ value?: unknown; error?: ErrorRecord }>((resolve) => {
      waiting.set(number, resolve);
      say({ ask: number, method, args });
    });
    if (error) throw fromErrorRecord(error);
    return value;
  };
const table = { get: ask("get"), query: ask("query"), put: ask("put"), remove: ask("remove") } as unknown as Table;

process.on("message", (message: ToWriter) => {
  if ("answer" in message) {
    waiting.get(message.answer)?.(message);
    waiting.delete(message.answer);
    return;
  }
  const { batch, records, volume, settings } = message;
  const run = { id: `${process.pid}-${batch}`, attempt: 1, deadline: systemClock.now() + 60_000, progress: () => {} };
  const event: StreamConsumed = {
    type: "stream.consumed",
    id: `batch-${batch}`,
    stream: "logs",
    records: records.map(({ value, ...record }) => ({ ...record, headers: {}, value: Buffer.from(value) })),
    time: "2026-11-21T10:00:00Z",
  };
  archive(event, {
    ...{ run, settings, code: {}, tools: {}, scratch: volume },
    links: { slots: table, volume: { path: volume } },
    signal: new AbortController().signal,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    metrics: { count() {}, gauge() {} },
    clock: systemClock,
  }).then(
    () => say({ done: batch }),
    (error: unknown) => say({ done: batch, error: toErrorRecord(error) }),
  );
});
process.on("disconnect", () => process.exit());
