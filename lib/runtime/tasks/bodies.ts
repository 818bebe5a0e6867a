import { shortHash } from "../../shared/name.ts";
import { MillraceError } from "../errors.ts";
import { onFirstUse } from "../first-use.ts";
import type { BucketReader, BucketRemover, BucketWriter } from "../ports.ts";
import type { PayloadReference } from "./envelope.ts";
import type { BodyInfo, TaskRow } from "./row.ts";
import type { PackedBody } from "./steps.ts";
import type { TaskStore } from "./store.ts";

/** Where payloads and results lie that are too large for the store. */
export type ClaimsBucket = Pick<BucketReader & BucketWriter & BucketRemover, "bucket" | "get" | "put" | "remove">;

/** The bucket, opened when the first body comes that is large: most processes never see one. */
export function lateClaims(bucket: string, open: () => Promise<ClaimsBucket>): ClaimsBucket {
  const opened = onFirstUse(open);
  return {
    bucket,
    get: async (...asked) => (await opened()).get(...asked),
    put: async (...asked) => (await opened()).put(...asked),
    remove: async (...asked) => (await opened()).remove(...asked),
  };
}

/** From which size on a text goes to the claims bucket, in bytes; absent: never. */
export interface TaskLimits {
  readonly taskPayloadBytes?: number;
  readonly taskResultBytes?: number;
}

const PREVIEW = 1024;

/** Payloads and results as texts: beside the row, or in the claims bucket where they are large. */
export class Bodies {
  readonly #store: TaskStore;
  readonly #claims: ClaimsBucket;
  readonly #limits: TaskLimits;
  readonly #random: () => number;

  constructor(store: TaskStore, claims: ClaimsBucket, limits: TaskLimits, random: () => number) {
    this.#store = store;
    this.#claims = claims;
    this.#limits = limits;
    this.#random = random;
  }

  /** Whether the text goes to the claims bucket. */
  isLarge(kind: "payload" | "result", text: string): boolean {
    const limit = (kind === "payload" ? this.#limits.taskPayloadBytes : this.#limits.taskResultBytes) ?? Infinity;
    return text.length > limit || Buffer.byteLength(text) > limit;
  }

  /** Makes a text ready to be stored with its row; a large one is put into the bucket now. */
  async pack(run: Pick<TaskRow, "task" | "id">, kind: "payload" | "result", text: string): Promise<PackedBody> {
    const info = { size: Buffer.byteLength(text), preview: previewOf(text) };
    if (!this.isLarge(kind, text)) return { info, text };
    return { info: { ...info, claim: await this.claim(run, kind, text) } };
  }

  /**
   * Puts a text into the bucket; its key. No put overwrites another text, and each has its own key, so that a
   * submit or an attempt that comes too late can take its own away again.
   */
  async claim({ task, id }: Pick<TaskRow, "task" | "id">, kind: string, text: string): Promise<string> {
    const nonce = shortHash(`${this.#random()}${this.#random()}`, 8);
    const key = `tasks/${task}/${shortHash(id, 24)}/${kind}-${shortHash(text, 16)}-${nonce}.json`;
    await this.#claims.put(key, text, { contentType: "application/json" });
    return key;
  }

  /** The whole text. @throws `not-found` if it is gone from the bucket */
  async read({ task, id }: Pick<TaskRow, "task" | "id">, kind: "payload" | "result", info: BodyInfo): Promise<string> {
    if (info.claim !== undefined) return Buffer.from(await this.#claims.get(info.claim)).toString("utf8");
    // The preview of a short text is the text.
    if (info.size === Buffer.byteLength(info.preview)) return info.preview;
    const text = await this.#store.body(task, id, kind);
    if (text === undefined) throw new MillraceError("not-found", `${task} "${id}": its ${kind} is gone`);
    return text;
  }

  /** What stands for a text in the bucket. */
  reference(info: BodyInfo, key: string): PayloadReference {
    return { bucket: this.#claims.bucket, key, size: info.size, preview: info.preview };
  }

  /** Removes objects, but for those a row still refers to. */
  async discard(keys: readonly string[], row?: Pick<TaskRow, "claims">): Promise<void> {
    for (const key of keys) if (!row?.claims.includes(key)) await this.#claims.remove(key);
  }
}

/** A value as JSON. @throws `bad-input` if it is none */
export function toJson(value: unknown, what: string): string {
  try {
    const text = JSON.stringify(value ?? null);
    if (text !== undefined) return text;
  } catch (error) {
    throw new MillraceError("bad-input", `the ${what} must be JSON: ${(error as Error).message}`, { cause: error });
  }
  throw new MillraceError("bad-input", `the ${what} must be JSON, got a ${typeof value}`);
}

/** The first 1,024 characters; half a surrogate pair at the cut is left out. */
function previewOf(text: string): string {
  const cut = text.slice(0, PREVIEW);
  return /\p{Cs}/u.test(cut.slice(-1)) ? cut.slice(0, -1) : cut;
}
