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

/** Values of a key that are combined before more are taken. */
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
  #values = new Map<string, unknown[]>();
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
    let values = this.#values.get(key);
    if (values === undefined) {
      values = [];
      this.#values.set(key, values);
      this.#bytes += KEY_COST + key.length * 2;
    }
    const { combine } = this.#options;
    values.push(value);
    this.#bytes += costOf(value);
    if (combine && values.length === COMBINED) this.#combine(key, values, combine);
  }

  #combine(key: string, values: readonly unknown[], combine: Combine): void {
    const before = values.reduce<number>((sum, value) => sum + costOf(value), 0);
    const combined = combine(key, values);
    this.#values.set(key, [combined]);
    this.#bytes += costOf(combined) - before;
  }

  /** Everything held, as bytes that belong behind what was written before. */
  async *flush(): AsyncGenerator<Buffer, void> {
    const partitions = new Map<number, string[]>();
    for (const key of this.#values.keys()) {
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
    this.#values = new Map();
    this.#bytes = 0;
  }

  async #combineAll(): Promise<void> {
    const { combineAll } = this.#options;
    if (!combineAll) return;
    const all = this.#values;
    this.#values = new Map([...all.keys()].map((key) => [key, []]));
    for (const groups of groupsOf(all)) {
      const combined = await combineAll(groups);
      for (const [index, [key]] of groups.entries()) this.#values.get(key)!.push(combined[index]);
    }
  }

  *#lines(keys: readonly string[]): Generator<string, void> {
    const { combine } = this.#options;
    for (const key of keys) {
      const values = this.#values.get(key)!;
      const all = combine && values.length > 1 ? [combine(key, values)] : values;
      this.written += all.length;
      yield* linesOf(key, all.map(toJson));
    }
  }
}

type PairGroup = readonly [key: string, values: readonly unknown[]];

function* groupsOf(all: ReadonlyMap<string, readonly unknown[]>): Generator<readonly PairGroup[], void> {
  let [groups, cost]: [PairGroup[], number] = [[], 0];
  for (const [key, values] of all) {
    for (let at = 0; at < values.length; ) {
      const from = at;
      cost += KEY_COST + key.length * 2;
      for (; at < values.length && cost < COMBINED_AT_ONCE; at += 1) cost += costOf(values[at]);
      if (at > from) groups.push([key, values.slice(from, at)]);
      if (cost < COMBINED_AT_ONCE) continue;
      if (groups.length > 0) yield groups;
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
