import type { TableReader, TableWriter } from "../../runtime/ports.ts";
import { type Tries, tried } from "./tries.ts";

/** Where it is written down. */
export type SentTable = TableReader & TableWriter;

/** What is done beyond the place that is committed. */
interface Notes {
  /** Everything before this offset is done. */
  readonly until?: number;
  /** Dead letters of everything before this offset are sent. */
  readonly letters?: number;
  /** Names of what is sent besides. */
  readonly sent: readonly string[];
}

/** For how long nobody else comes back to a batch, in milliseconds. */
const KEPT = 14 * 86_400_000;

/**
 * What was sent to where nothing can be taken back, before the place in the stream could be moved behind it: the next
 * try leaves it out. Of two at work on one partition the later one keeps the notes; the other's are a `conflict`.
 */
export class Ahead {
  readonly #table: SentTable | undefined;
  readonly #row: readonly [partition: string, sort: string];
  readonly #tries: Tries;
  readonly #sent = new Set<string>();
  /** Of the row; undefined before it is read. */
  #version: string | undefined;
  #until: number | undefined;
  #letters: number | undefined;

  /** @param table absent: nothing is ever sent ahead */
  constructor(table: SentTable | undefined, partition: string, sort: string, tries: Tries) {
    this.#table = table;
    this.#row = [partition, sort];
    this.#tries = tries;
  }

  /** Reads what was noted, once: before it is asked for, and not by those who never do. */
  async read(): Promise<void> {
    const table = this.#table;
    if (!table || this.#version !== undefined) return;
    const found = await tried(this.#tries, () => table.get<Notes>(...this.#row));
    this.#version = found?.version ?? "absent";
    for (const name of found?.value.sent ?? []) this.#sent.add(name);
    this.#until = found?.value.until;
    this.#letters = found?.value.letters;
  }

  get until(): number | undefined {
    return this.#until;
  }

  has = (name: string): boolean => this.#sent.has(name);

  /** Noted once {@link save} is called. */
  add = (name: string): void => void this.#sent.add(name);

  hasLetter = (offset: number): boolean =>
    (this.#letters !== undefined && offset < this.#letters) || this.#sent.has(`d${offset}`);

  addLetter = (offset: number): void => this.add(`d${offset}`);

  /** All dead letters of records before `next` are sent: they need no names of their own. */
  async lettersUntil(next: number): Promise<void> {
    this.#letters = next;
    for (const name of this.#sent) if (name.startsWith("d")) this.#sent.delete(name);
    await this.save();
  }

  /** All before `next` is done, and what was noted of it is forgotten. */
  async doneUntil(next: number): Promise<void> {
    this.#until = next;
    this.#sent.clear();
    await this.save();
  }

  /** The place is committed: what was noted says nothing any more. */
  forget(): void {
    this.#sent.clear();
  }

  async save(): Promise<void> {
    const [table, version] = [this.#table, this.#version];
    if (!table || version === undefined) return;
    const [until, letters] = [this.#until, this.#letters];
    const notes: Notes = {
      ...(until !== undefined && { until }),
      ...(letters !== undefined && { letters }),
      sent: [...this.#sent],
    };
    const { clock } = this.#tries;
    const put = () => table.put(...this.#row, notes, { ifVersion: version, expires: clock.now() + KEPT });
    this.#version = await tried(this.#tries, put);
  }
}
