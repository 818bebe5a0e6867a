import type { StreamRecord } from "../../runtime/events.ts";
import { folderOf, shownName, UNKNOWN_APPLICATION } from "../../shared/archive/application.ts";
import type { Line } from "../../shared/archive/member.ts";
import type { ApplicationRule } from "./settings.ts";
import type { ApplicationModule } from "./user-code.ts";

/** What a batch has of one application. */
export interface ApplicationLines {
  readonly application: string;
  /** What stands for it in paths and keys. */
  readonly folder: string;
  /** In the order of their offsets, each offset once. */
  readonly partitions: ReadonlyMap<number, readonly Line[]>;
}

/** Sorts a batch by application and partition. */
export function split(
  records: readonly StreamRecord[],
  applicationOf: (record: StreamRecord) => string,
): readonly ApplicationLines[] {
  const found = new Map<string, Map<number, Line[]>>();
  for (const record of records) {
    const partitions = at(found, applicationOf(record), () => new Map<number, Line[]>());
    at(partitions, record.partition, () => []).push({
      offset: record.offset,
      timestamp: record.timestamp,
      value: record.value ?? NOTHING,
    });
  }
  return [...found].map(([name, partitions]) => ({
    application: shownName(name),
    folder: folderOf(name),
    partitions: new Map([...partitions].map(([partition, lines]) => [partition, inOrder(lines)])),
  }));
}

const NOTHING = new Uint8Array();

function at<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** Streams give records in order; what was cut anew on the way may have some twice. */
function inOrder(lines: readonly Line[]): readonly Line[] {
  const isInOrder = lines.every(({ offset }, index) => index === 0 || lines[index - 1]!.offset < offset);
  if (isInOrder) return lines;
  const sorted = [...lines].sort((one, other) => one.offset - other.offset);
  return sorted.filter(({ offset }, index) => index === 0 || sorted[index - 1]!.offset !== offset);
}

/** How it is found out what a record belongs to. */
export function ruleOf(rule: ApplicationRule, code?: ApplicationModule): (record: StreamRecord) => string {
  const find = finderOf(rule, code);
  return (record) => {
    try {
      return named(find(record));
    } catch {
      return UNKNOWN_APPLICATION;
    }
  };
}

function finderOf(rule: ApplicationRule, code?: ApplicationModule): (record: StreamRecord) => unknown {
  if ("code" in rule) return code!.application;
  const decoder = new TextDecoder();
  const decode = (bytes: Uint8Array | undefined): string => decoder.decode(bytes);
  if ("header" in rule) {
    return ({ headers }) => (Object.hasOwn(headers, rule.header) ? decode(headers[rule.header]) : undefined);
  }
  return ({ value }) => rule.path.reduce<unknown>(inside, JSON.parse(decode(value)));
}

/** Own fields alone: everything has a `constructor`. */
const inside = (outer: unknown, name: string): unknown =>
  typeof outer === "object" && outer !== null && Object.hasOwn(outer, name)
    ? (outer as Record<string, unknown>)[name]
    : undefined;

const named = (found: unknown): string => {
  const name = typeof found === "number" ? String(found) : found;
  return typeof name === "string" && name !== "" ? name : UNKNOWN_APPLICATION;
};
