import { createHash } from "node:crypto";
import type { SentTable } from "./ahead.ts";
import { isConflict, type Tries, tried } from "./tries.ts";

/** Who has a key, and whether what it stands for is sent. */
interface KnownKey {
  /** The output that came first with it. */
  readonly by: string;
  readonly sent: boolean;
}

/** Tells outputs of a key that was sent already: each key is claimed before its output is sent, and confirmed after. */
export class KnownKeys {
  readonly #table: SentTable;
  /** Milliseconds. */
  readonly #remembered: number;
  readonly #tries: Tries;
  /** Rows of keys that were sent just now, and by which output. */
  readonly #known = new Map<string, string>();

  constructor(table: SentTable, remembered: number, tries: Tries) {
    this.#table = table;
    this.#remembered = remembered * 1000;
    this.#tries = tries;
  }

  /** Whether the output is to be sent: it is the first one with its key, or the one that began and came to no end. */
  async claim(key: string, by: string): Promise<boolean> {
    const row = rowOf(key);
    const sentBy = this.#known.get(row);
    if (sentBy !== undefined && sentBy !== by) return false;
    const value: KnownKey = { by, sent: false };
    try {
      await tried(this.#tries, () => this.#table.put(row, SORT, value, { ifVersion: "absent", ...this.#expires() }));
      return true;
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
    const found = (await tried(this.#tries, () => this.#table.get<KnownKey>(row, SORT)))?.value;
    // It has expired just now: as good as new.
    if (!found) return true;
    return found.by === by && !found.sent;
  }

  async confirm(key: string, by: string): Promise<void> {
    const row = rowOf(key);
    await tried(this.#tries, () => this.#table.put(row, SORT, { by, sent: true } satisfies KnownKey, this.#expires()));
    this.#known.set(row, by);
  }

  /** What was claimed is not sent, and will not be: another output may have the key. */
  async release(key: string): Promise<void> {
    await tried(this.#tries, () => this.#table.remove(rowOf(key), SORT));
  }

  #expires(): { readonly expires: number } {
    return { expires: this.#tries.clock.now() + this.#remembered };
  }
}

const SORT = "key";

/** Keys are of any length and may say more than a table's owner may know. */
const rowOf = (key: string): string => `key-${createHash("sha256").update(key).digest("base64url")}`;
