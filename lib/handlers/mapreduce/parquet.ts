import { MillraceError } from "../../runtime/errors.ts";

/**
 * As much of Parquet as is needed to cut a file at its row groups: its footer, which says where they are, is read, and
 * written again with some of them. What is in them is DuckDB's to read.
 *
 * https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
 */
export interface Footer {
  /** Rows of the file. */
  readonly rows: number;
  readonly groups: readonly RowGroup[];
  /** The metadata as they are, where they begin in the file, and where in them the parts are that are written again. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly places: { readonly rows: Span; readonly groups: Span };
}

export interface RowGroup {
  readonly rows: number;
  /** The columns' bytes in the file. */
  readonly data: Span;
  /** Of filters that a reader may ask before it reads the columns; the end is not always told. */
  readonly filters: readonly (readonly [start: number, end: number | undefined])[];
  /** Its place in the metadata. */
  readonly place: Span;
}

/** From the first byte to behind the last one. */
export type Span = readonly [start: number, end: number];

const MAGIC = "PAR1";
/** Behind the metadata: their length, and the magic word. */
const END = 8;
/** Read at first: most footers are smaller. */
const TAIL = 64 * 2 ** 10;
const LONGEST_FOOTER = 256 * 2 ** 20;

/**
 * Reads what is at the end of a file of Parquet.
 *
 * @param get reads from one byte to before another one
 * @throws `bad-input` if it is none, or is encrypted
 */
export async function readFooter(
  { key, size }: { readonly key: string; readonly size: number },
  get: (from: number, to: number) => Promise<Buffer>,
): Promise<Footer> {
  try {
    if (size < MAGIC.length + END) throw new MillraceError("bad-input", "it is too short");
    const tail = await get(Math.max(0, size - TAIL), size);
    const magic = tail.toString("latin1", tail.length - 4);
    if (magic !== MAGIC) throw new MillraceError("bad-input", `it ends in ${JSON.stringify(magic)}`);
    const length = tail.readUInt32LE(tail.length - END);
    if (length > Math.min(LONGEST_FOOTER, size - MAGIC.length - END)) {
      throw new MillraceError("bad-input", `its footer has ${length} bytes`);
    }
    const start = size - END - length;
    const whole = length + END <= tail.length ? tail : await get(start, size);
    return footerIn(whole.subarray(whole.length - END - length, whole.length - END), start);
  } catch (error) {
    if (!(error instanceof MillraceError && error.kind === "bad-input")) throw error;
    throw new MillraceError("bad-input", `${key} is no file of Parquet that can be read: ${error.message}`, {
      cause: error,
    });
  }
}

/** The end of a file that has only these of the row groups, each where it was. */
export function footerWith({ bytes, groups, places }: Footer, first: number, end: number): Buffer {
  const kept = groups.slice(first, end);
  const rows = kept.reduce((sum, group) => sum + group.rows, 0);
  const parts = [
    { at: places.rows, bytes: varint(rows * 2) },
    {
      at: places.groups,
      bytes: Buffer.concat([listHead(kept.length), ...kept.map(({ place: [from, to] }) => bytes.subarray(from, to))]),
    },
  ].sort((one, other) => one.at[0] - other.at[0]);
  const pieces: Buffer[] = [];
  let at = 0;
  for (const { at: place, bytes: written } of parts) {
    pieces.push(bytes.subarray(at, place[0]), written);
    at = place[1];
  }
  const metadata = Buffer.concat([...pieces, bytes.subarray(at)]);
  const tail = Buffer.alloc(END, MAGIC, "latin1");
  tail.writeUInt32LE(metadata.length);
  tail.write(MAGIC, 4, "latin1");
  return Buffer.concat([metadata, tail]);
}

/** What is to be read of a file, besides its footer, by who reads these row groups. */
export function spansOf({ groups, start }: Footer, first: number, end: number): readonly Span[] {
  const kept = groups.slice(first, end);
  const starts = [...groups.flatMap(({ data, filters }) => [data[0], ...filters.map(([from]) => from)]), start];
  const ends = (from: number) => starts.reduce((next, one) => (one > from && one < next ? one : next), start);
  return kept.flatMap(({ data, filters }) => [data, ...filters.map(([from, to]) => [from, to ?? ends(from)] as const)]);
}

function footerIn(bytes: Buffer, start: number): Footer {
  const reader = new Compact(bytes);
  let rows = 0;
  let rowsPlace: Span | undefined;
  let groupsPlace: Span | undefined;
  let groups: readonly RowGroup[] = [];
  reader.struct({
    3: () => {
      const from = reader.at;
      rows = reader.integer();
      rowsPlace = [from, reader.at];
    },
    4: () => {
      const from = reader.at;
      groups = reader.list(() => rowGroup(reader, start));
      groupsPlace = [from, reader.at];
    },
    8: () => {
      throw new MillraceError("bad-input", "it is encrypted");
    },
  });
  if (!rowsPlace || !groupsPlace) throw new MillraceError("bad-input", "its footer names no row groups");
  return { rows, groups, bytes, start, places: { rows: rowsPlace, groups: groupsPlace } };
}

function rowGroup(reader: Compact, footer: number): RowGroup {
  const from = reader.at;
  let rows = 0;
  let columns: readonly Column[] = [];
  reader.struct({
    1: () => {
      columns = reader.list(() => column(reader));
    },
    3: () => {
      rows = reader.integer();
    },
  });
  const data = columns.reduce<Span>(
    ([first, end], { data: [from, to] }) => [Math.min(first, from), Math.max(end, to)],
    [Number.POSITIVE_INFINITY, 0],
  );
  const filters = columns.flatMap(({ filter }) => (filter ? [filter] : []));
  const isInside = (at: number) => at >= MAGIC.length && at <= footer;
  if (![...data, ...filters.flatMap(([first, end = first]) => [first, end])].every(isInside) || data[0] > data[1]) {
    throw new MillraceError("bad-input", "its footer names bytes that it does not have");
  }
  return { rows, data, filters, place: [from, reader.at] };
}

interface Column {
  readonly data: Span;
  readonly filter?: readonly [start: number, end: number | undefined];
}

function column(reader: Compact): Column {
  let [size, first, filter, filterLength]: [number, number, number?, number?] = [0, Number.POSITIVE_INFINITY];
  const page = () => {
    const at = reader.integer();
    // A writer that has no dictionary may say 0.
    if (at > 0) first = Math.min(first, at);
  };
  reader.struct({
    1: () => {
      throw new MillraceError("bad-input", "its columns are in other files");
    },
    3: () =>
      reader.struct({
        7: () => {
          size = reader.integer();
        },
        9: page,
        11: page,
        14: () => {
          filter = reader.integer();
        },
        15: () => {
          filterLength = reader.integer();
        },
      }),
  });
  const end = filter !== undefined && filterLength !== undefined ? filter + filterLength : undefined;
  return { data: [first, first + size], ...(filter !== undefined && { filter: [filter, end] as const }) };
}

const [TRUE, FALSE, BINARY, LIST, SET, MAP, STRUCT] = [1, 2, 8, 9, 10, 11, 12] as const;
/** Whole numbers of 16, 32 and 64 bits. */
const VARINTS: readonly number[] = [4, 5, 6];
/** Bytes of what always has as many: a byte, a double, a UUID. */
const SIZES: Readonly<Record<number, number>> = { 3: 1, 7: 8, 13: 16 };

const DEEPEST = 64;

/** Values as Thrift's compact protocol has them. https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md */
class Compact {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** @param fields what reads the fields of these numbers; others are gone past */
  struct(fields: Readonly<Record<number, () => void>>, depth = 0): void {
    if (depth > DEEPEST) throw new MillraceError("bad-input", "its footer is too deep");
    for (let field = 0; ; ) {
      const head = this.#byte();
      if (head === 0) return;
      field = head >> 4 === 0 ? this.integer() : field + (head >> 4);
      const read = fields[field];
      if (read) read();
      else this.#skip(head & 0x0f, depth + 1);
    }
  }

  list<Item>(read: () => Item): readonly Item[] {
    const { count } = this.#listHead();
    return Array.from({ length: count }, read);
  }

  integer(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #listHead(): { readonly count: number; readonly type: number } {
    const head = this.#byte();
    const count = head >> 4 === 15 ? this.#varint() : head >> 4;
    // None of its items is shorter than a byte.
    if (count > this.#bytes.length - this.at) throw cutOff();
    return { count, type: head & 0x0f };
  }

  #byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw cutOff();
    this.at += 1;
    return byte;
  }

  #varint(): number {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
      if (factor > 2 ** 70) throw new MillraceError("bad-input", "its footer has no such numbers");
    }
  }

  #past(bytes: number): void {
    this.at += bytes;
    if (this.at > this.#bytes.length) throw cutOff();
  }

  /** @param isItem of a list or map, where a truth value has a byte of its own */
  #skip(type: number, depth: number, isItem = false): void {
    const size = SIZES[type];
    if (size !== undefined) this.#past(size);
    else if (type === TRUE || type === FALSE) this.#past(isItem ? 1 : 0);
    else if (VARINTS.includes(type)) this.#varint();
    else if (type === BINARY) this.#past(this.#varint());
    else if (type === STRUCT) this.struct({}, depth);
    else this.#skipItems(type, depth);
  }

  #skipItems(type: number, depth: number): void {
    if (depth > DEEPEST) throw new MillraceError("bad-input", "its footer is too deep");
    if (type === LIST || type === SET) {
      const { count, type: item } = this.#listHead();
      for (let index = 0; index < count; index += 1) this.#skip(item, depth + 1, true);
      return;
    }
    if (type !== MAP) throw new MillraceError("bad-input", `its footer has values of type ${type}`);
    const count = this.#varint();
    if (count === 0) return;
    const types = this.#byte();
    for (let index = 0; index < count; index += 1) {
      this.#skip(types >> 4, depth + 1, true);
      this.#skip(types & 0x0f, depth + 1, true);
    }
  }
}

const cutOff = (): MillraceError => new MillraceError("bad-input", "its footer is cut off");

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
  return Buffer.from([...bytes, left]);
}

const listHead = (count: number): Buffer =>
  count < 15 ? Buffer.of((count << 4) | STRUCT) : Buffer.concat([Buffer.of(0xf0 | STRUCT), varint(count)]);
