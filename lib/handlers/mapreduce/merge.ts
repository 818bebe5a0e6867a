import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { RunCursor, type Values } from "./shuffle.ts";

/** Values of a key in memory, in characters; what is beyond lies in a file. */
const HELD = 16 * 2 ** 20;

/** In the file, before values: their bytes and their number. */
const HEAD = 8;

/** All values of one key. They may be gone through more than once, until the next key is asked for. */
export class Group implements Iterable<unknown> {
  readonly key: string;
  /** Of the values, as JSON. */
  size = 0;
  /** Values. */
  count = 0;
  readonly #file: string;
  #held: Values[] = [];
  #heldSize = 0;
  #handle: number | undefined;
  #written = 0;

  /** @param file where values go that are too many for memory */
  constructor(key: string, file: string) {
    this.key = key;
    this.#file = file;
  }

  add(values: Values): void {
    const { length } = values.json;
    this.#held.push(values);
    this.#heldSize += length;
    this.size += length;
    this.count += values.count;
    if (this.#heldSize > HELD) this.#spill();
  }

  *[Symbol.iterator](): Generator<unknown, void> {
    for (const { json } of this.parts()) yield* JSON.parse(`[${json}]`) as readonly unknown[];
  }

  /** As they were added. */
  *parts(): Generator<Values, void> {
    if (this.#handle !== undefined) yield* this.#spilled(this.#handle);
    yield* this.#held;
  }

  close(): void {
    if (this.#handle === undefined) return;
    closeSync(this.#handle);
    rmSync(this.#file, { force: true });
    this.#handle = undefined;
  }

  #spill(): void {
    this.#handle ??= openSync(this.#file, "w+");
    for (const { json, count } of this.#held) {
      const bytes = Buffer.from(json, "utf8");
      const head = Buffer.alloc(HEAD);
      head.writeUInt32BE(bytes.length);
      head.writeUInt32BE(count, 4);
      for (const part of [head, bytes]) {
        for (let at = 0; at < part.length; ) {
          const count = writeSync(this.#handle, part, at, part.length - at, this.#written);
          at += count;
          this.#written += count;
        }
      }
    }
    this.#held = [];
    this.#heldSize = 0;
  }

  *#spilled(handle: number): Generator<Values, void> {
    const head = Buffer.alloc(HEAD);
    for (let at = 0; at < this.#written; ) {
      readFully(handle, head, at);
      const bytes = Buffer.allocUnsafe(head.readUInt32BE());
      readFully(handle, bytes, at + HEAD);
      yield { json: bytes.toString("utf8"), count: head.readUInt32BE(4) };
      at += HEAD + bytes.length;
    }
  }
}

function readFully(handle: number, into: Buffer, position: number): void {
  for (let at = 0; at < into.length; ) at += readSync(handle, into, at, into.length - at, position + at);
}

/** Sorted runs as one: key by key, in their order. */
export class Merge {
  readonly #heap: RunCursor[] = [];
  readonly #file: string;
  #group: Group | undefined;
  #given: Group | undefined;

  /** @param file where values go that are too many for memory */
  private constructor(file: string) {
    this.#file = file;
  }

  static async of(cursors: readonly RunCursor[], file: string): Promise<Merge> {
    const merge = new Merge(file);
    for (const cursor of cursors) if (await cursor.fill()) merge.#push(cursor);
    return merge;
  }

  /** The next key with its values; nothing after the last one. No promise where what is at hand will do. */
  next(): Group | undefined | Promise<Group | undefined> {
    this.close();
    const next = this.#gather();
    return next instanceof RunCursor ? this.#afterRefill(next) : next;
  }

  /** Lets go of the last key's values. */
  close(): void {
    this.#given?.close();
    this.#given = undefined;
  }

  async #afterRefill(empty: RunCursor): Promise<Group | undefined> {
    for (let next: Group | RunCursor | undefined = empty; ; ) {
      if (!(next instanceof RunCursor)) return next;
      await this.#refill(next);
      next = this.#gather();
    }
  }

  /** A whole group, or the run that has to be read on before one is. */
  #gather(): Group | RunCursor | undefined {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || (this.#group && this.#group.key !== top.key)) return this.#take();
      this.#group ??= new Group(top.key, this.#file);
      this.#group.add({ json: top.values, count: top.count });
      if (!top.advance()) return top;
      this.#sink();
    }
  }

  #take(): Group | undefined {
    this.#given = this.#group;
    this.#group = undefined;
    return this.#given;
  }

  async #refill(top: RunCursor): Promise<void> {
    if (!(await top.fill())) {
      const last = this.#heap.pop()!;
      if (this.#heap.length === 0) return;
      this.#heap[0] = last;
    }
    this.#sink();
  }

  #push(cursor: RunCursor): void {
    const heap = this.#heap;
    let at = heap.push(cursor) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (heap[up]!.key <= cursor.key) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = cursor;
  }

  /** Puts the first one where it belongs. */
  #sink(): void {
    const heap = this.#heap;
    const cursor = heap[0]!;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= heap.length) break;
      const least = left + 1 < heap.length && heap[left + 1]!.key < heap[left]!.key ? left + 1 : left;
      if (heap[least]!.key >= cursor.key) break;
      heap[at] = heap[least]!;
      at = least;
    }
    heap[at] = cursor;
  }
}
