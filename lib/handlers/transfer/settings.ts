import { MillraceError } from "../../runtime/errors.ts";
import type { BucketReader, BucketUploader, BucketWriter } from "../../runtime/ports.ts";

/** When an object of the target may be overwritten: one that is older than its source, any, or none. */
export type Overwrites = "older" | "always" | "never";

/** A transfer's effective settings, as plain JSON. */
export interface TransferSettings {
  readonly overwrites: Overwrites;
  /** Most functions that copy at once. */
  readonly workers: number;
  /** Bytes; objects that need more than 9,000 pieces of it have larger ones. Smaller objects go whole, in groups. */
  readonly piece: number;
  /** Put before the key of every copy, unless a request says `to`. */
  readonly toPrefix: string;
  /** Bytes that one function may hold at once. */
  readonly buffer: number;
}

/** What the functions of a transfer may touch. */
export interface TransferLinks {
  readonly from: BucketReader;
  readonly to: BucketReader & BucketWriter & BucketUploader;
  /** Lists of what is to be copied, and what became of it. */
  readonly state: BucketReader & BucketWriter;
}

/** What is to be copied: one object, all objects of a prefix, or those a manifest names. */
export interface TransferRequest {
  readonly object?: string;
  readonly prefix?: string;
  /** The key of a list in the source bucket: a line an object, its key or `{ "object": "…", "to": "…" }`. */
  readonly manifest?: string;
  /** Of `object`: refused (`conflict`) if it is another one. */
  readonly etag?: string;
  /** The copy's key; with `prefix`, what takes its place in the keys; with `manifest`, put before them. */
  readonly to?: string;
}

/** @throws `bad-input` that says what is allowed */
export function readRequest(given: unknown): TransferRequest {
  const request = typeof given === "object" && given !== null ? (given as Readonly<Record<string, unknown>>) : {};
  const wrong = Object.entries(request).find(([name, value]) => !FIELDS.includes(name) || typeof value !== "string");
  if (wrong) {
    const [name, value] = wrong;
    throw new MillraceError(
      "bad-input",
      `${name}: a request has ${FIELDS.join(", ")}, all of them text, got ${JSON.stringify(value)}`,
    );
  }
  const named = [request.object, request.prefix, request.manifest].filter((one) => one !== undefined);
  if (named.length !== 1) {
    throw new MillraceError(
      "bad-input",
      `a request names one of object, prefix and manifest, got ${JSON.stringify(given)?.slice(0, 200)}`,
    );
  }
  if (request.object === "" || request.manifest === "") {
    throw new MillraceError("bad-input", "object and manifest are keys, and a key is not empty");
  }
  return request as TransferRequest;
}

const FIELDS = ["object", "prefix", "manifest", "etag", "to"];
