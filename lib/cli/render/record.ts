import { isUtf8 } from "node:buffer";
import type { StreamRecord } from "../../runtime/events.ts";
import type { Colors } from "../terminal.ts";
import { clip, plain } from "./text.ts";
import { formatTime } from "./time.ts";

/** The longest value shown; `--json` has it whole. */
const VALUE_LENGTH = 2000;
const BYTES_SHOWN = 24;
/** https://tc39.es/ecma262/#sec-time-values-and-time-range */
const LAST_TIME = 8.64e15;

/** `2/118  2026-11-21 08:15:06  customer 7  trace=a1  {"number":3}`: partition and offset, time, key, headers, value. */
export function renderRecord(record: StreamRecord, { bold, cyan, dim }: Colors): string {
  const { partition, offset, timestamp, key, value, headers } = record;
  const pairs = Object.entries(headers).map(([name, header]) => `${plain(name)}=${shown(header)}`);
  return [
    bold(`${partition}/${offset}`),
    dim(timeOf(timestamp)),
    ...(key ? [cyan(shown(key))] : []),
    ...(pairs.length > 0 ? [dim(pairs.join(" "))] : []),
    value ? shown(value) : dim("(no value)"),
  ].join("  ");
}

/** What is text is text; other bytes are `{ "base64": "…" }`. */
export const recordToJson = ({ key, value, headers, ...record }: StreamRecord): object => ({
  ...record,
  ...(key && { key: toJson(key) }),
  ...(value && { value: toJson(value) }),
  headers: Object.fromEntries(Object.entries(headers).map(([name, header]) => [name, toJson(header)])),
});

/** A record may say any time of itself. */
const timeOf = (timestamp: number): string =>
  timestamp <= LAST_TIME ? formatTime(new Date(timestamp).toISOString()) : String(timestamp);

function shown(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return plain(clip(Buffer.from(bytes).toString(), VALUE_LENGTH));
  const start = Buffer.from(bytes.subarray(0, BYTES_SHOWN)).toString("hex");
  return `0x${start}${bytes.length > BYTES_SHOWN ? `… (${bytes.length} bytes)` : ""}`;
}

const toJson = (bytes: Uint8Array): string | { readonly base64: string } =>
  isUtf8(bytes) ? Buffer.from(bytes).toString() : { base64: Buffer.from(bytes).toString("base64") };
