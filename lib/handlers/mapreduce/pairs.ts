import { KeyTable } from "./key-table.ts";
import { type Codec, linesOf, partitionOf, type Run, RunWriter } from "./shuffle.ts";

/** Makes one value of a key's values. */
export type Combine = (key: string, values: readonly unknown[]) => unknown;
/** The same for many keys at once; one value for each. */
export type CombineAll = (groups: readonly PairGroup[]) => Promise<readonly unknown[]>;

export interface PairsOptions {
  readonly partitions: number;
  /** Bytes of pairs, as near as they can be guessed, after which they are to be written. */
  readonly buffer: number;
  readonly codec: Codec;
  /** @default values go to the reducer as they are */
  readonly combine?: Combine;
  /** For a combiner that takes many at once. */
  readonly combineAll?: CombineAll;
}

/** Values of a key that are combined before more are taken; numbers are at once, since what they come to is as small. */
const COMBINED = 64;
/** What a key and a value cost beside their characters, in bytes. */
const [KEY_COST, VALUE_COST] = [120, 24] as const;
/** Given to a combiner that takes many at once, in bytes as they are guessed here; the same key may come several times. */
const COMBINED_AT_ONCE = 2 ** 20;

/** A mapper's pairs: held until there are enough, combined, sorted, and written as one run for each partition. */
export class Pairs {
  /** Pairs taken, and values written. */
  taken = 0;
  written = 0;
  /** What was written so far, by partition. */
  readonly runs = new Map<number, Run[]>();
  readonly #options: PairsOptions;
  readonly #writer: RunWriter;
  #table = new KeyTable();
  /** Of each key, by its number: one value, or several. */
  #values: unknown[] = [];
  #bytes = 0;

  constructor(options: PairsOptions) {
    this.#options = options;
    this.#writer = new RunWriter(options.codec);
  }

  get isFull(): boolean {
    return this.#bytes >= this.#options.buffer;
  }

  /** @throws if the value is nothing that JSON can hold */
  add(key: string, value: unknown): void {
    this.taken += 1;
    const number = this.#table.numberOf(key);
    if (number === this.#values.length) {
      this.#values.push(value);
      this.#bytes += KEY_COST + key.length * 2 + costOf(value);
    } else {
      this.#addTo(number, key, value);
    }
  }

  #addTo(number: number, key: string, value: unknown): void {
    const { combine } = this.#options;
    const held = this.#values[number];
    if (combine && typeof held === "number" && typeof value === "number") {
      const combined = combine(key, [held, value]);
      this.#values[number] = combined;
      this.#bytes += costOf(combined) - VALUE_COST;
      return;
    }
    this.#bytes += costOf(value);
    if (!(held instanceof Several)) {
      this.#values[number] = new Several([held, value]);
      return;
    }
    held.values.push(value);
    if (!combine || held.values.length < COMBINED) return;
    const before = held.values.reduce<number>((sum, one) => sum + costOf(one), 0);
    const combined = combine(key, held.values);
    this.#values[number] = combined;
    this.#bytes += costOf(combined) - before;
  }

  /** Everything held, as bytes that belong behind what was written before. */
  async *flush(): AsyncGenerator<Buffer, void> {
    const partitions = new Map<number, string[]>();
    for (const key of this.#table.keys) {
      const partition = partitionOf(key, this.#options.partitions);
      const keys = partitions.get(partition);
      if (keys) keys.push(key);
      else partitions.set(partition, [key]);
    }
    await this.#combineAll();
    for (const [partition, keys] of [...partitions].sort(([one], [other]) => one - other)) {
      const run = yield* this.#writer.write(this.#lines(keys.sort()));
      this.runs.set(partition, [...(this.runs.get(partition) ?? []), run]);
    }
    this.#table = new KeyTable();
    this.#values = [];
    this.#bytes = 0;
  }

  async #combineAll(): Promise<void> {
    const { combineAll } = this.#options;
    if (!combineAll) return;
    const combined: unknown[][] = this.#values.map(() => []);
    for (const groups of groupsOf(this.#table.keys, this.#values)) {
      const answers = await combineAll(groups);
      for (const [index, [key]] of groups.entries()) combined[this.#table.numberOf(key)]!.push(answers[index]);
    }
    this.#values = combined.map((values) => new Several(values));
  }

  *#lines(keys: readonly string[]): Generator<string, void> {
    const { combine } = this.#options;
    for (const key of keys) {
      const values = valuesOf(this.#values[this.#table.numberOf(key)]);
      const all = combine && values.length > 1 ? [combine(key, values)] : values;
      this.written += all.length;
      yield* linesOf(key, all.map(toJson));
    }
  }
}

/** Values of one key; none of them is one of these. */
class Several {
  readonly values: unknown[];

  constructor(values: unknown[]) {
    this.values = values;
  }
}

const valuesOf = (held: unknown): readonly unknown[] => (held instanceof Several ? held.values : [held]);

type PairGroup = readonly [key: string, values: readonly unknown[]];

function* groupsOf(keys: readonly string[], all: readonly unknown[]): Generator<readonly PairGroup[], void> {
  let [groups, cost]: [PairGroup[], number] = [[], 0];
  for (const [number, key] of keys.entries()) {
    const values = valuesOf(all[number]);
    for (let at = 0; at < values.length; ) {
      const from = at;
      cost += KEY_COST + key.length * 2;
      // At least one, however large the key is.
      do cost += costOf(values[at++]);
      while (at < values.length && cost < COMBINED_AT_ONCE);
      groups.push([key, values.slice(from, at)]);
      if (cost < COMBINED_AT_ONCE) continue;
      yield groups;
      [groups, cost] = [[], 0];
    }
  }
  if (groups.length > 0) yield groups;
}

function toJson(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError(`a value is what JSON can hold, got ${typeof value}`);
  return text;
}

/** Bytes in memory, roughly: objects and lists are guessed by their fields. */
function costOf(value: unknown): number {
  if (typeof value === "string") return VALUE_COST + value.length * 2;
  if (typeof value !== "object" || value === null) return VALUE_COST;
  let cost = VALUE_COST * 2;
  for (const field of Object.values(value)) cost += costOf(field);
  return cost;
}
