import { MillraceError } from "./errors.ts";
import type { GetOptions, ObjectInfo, PutOptions } from "./ports.ts";

/** The longest key of an object or a row, in bytes of UTF-8: what every cloud takes. */
const KEY_BYTES = 1024;
/** What a page holds at most, and when nothing is said. */
const PAGE_LIMIT = 1000;

/**
 * Refuses what cannot be a key: keys are 1 to 1,024 bytes of Unicode, and nothing in them has a meaning.
 *
 * @throws `bad-input`.
 */
export function checkKey(key: string, what = "a key"): void {
  const bytes = Buffer.byteLength(key);
  if (bytes < 1 || bytes > KEY_BYTES)
    throw new MillraceError("bad-input", `${what} has 1 to 1,024 bytes of UTF-8, got ${bytes}: "${key.slice(0, 60)}"`);
  if (/\p{Surrogate}/u.test(key))
    throw new MillraceError("bad-input", `${what} is Unicode text, got half a surrogate pair`);
}

/**
 * How much a page holds.
 *
 * @throws `bad-input` unless it is a whole number from 1 to 1,000.
 */
export function pageLimit(limit: number = PAGE_LIMIT): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE_LIMIT) return limit;
  throw new MillraceError("bad-input", `limit is a whole number from 1 to 1,000, got ${limit}`);
}

/**
 * Refuses a put whose condition does not hold.
 *
 * @throws `conflict`.
 */
export function checkPut(key: string, current: ObjectInfo | undefined, { ifMatch, ifNoneMatch }: PutOptions): void {
  if (ifNoneMatch === "*" && current) throw new MillraceError("conflict", `there is an object "${key}" already`);
  if (ifMatch !== undefined) checkEtag(key, current?.etag, ifMatch);
}

/**
 * Refuses to read an object that is not the expected one.
 *
 * @throws `conflict`.
 */
export function checkGet({ key, etag }: ObjectInfo, { ifMatch }: Pick<GetOptions, "ifMatch">): void {
  if (ifMatch !== undefined) checkEtag(key, etag, ifMatch);
}

function checkEtag(key: string, found: string | undefined, wanted: string): void {
  if (found === wanted) return;
  throw new MillraceError(
    "conflict",
    `object "${key}" is not the one that was asked for: its etag is ${found ?? "gone"}, not ${wanted}`,
  );
}

/**
 * First and last byte of a range within an object of that size; a range may reach past the end, not start there.
 *
 * @throws `bad-input`.
 */
export function clipRange(key: string, size: number, [first, last]: readonly [number, number]): [number, number] {
  const isRange = Number.isInteger(first) && Number.isInteger(last) && first >= 0 && first <= last;
  if (isRange && first < size) return [first, Math.min(last, size - 1)];
  throw new MillraceError(
    "bad-input",
    `bytes ${first} to ${last} of "${key}" are no range; it has ${size} bytes, and a range has first and last byte in order`,
  );
}

/** The error for an object that is not there. */
export const noObject = (bucket: string, key: string): MillraceError =>
  new MillraceError("not-found", `no object "${key}" in bucket ${bucket}`);

/** The later of two texts in the order of their UTF-8 bytes, which is not the order of `<`. */
export const laterText = (one: string, other: string): string =>
  Buffer.compare(Buffer.from(one), Buffer.from(other)) >= 0 ? one : other;
