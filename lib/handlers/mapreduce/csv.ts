import type { Framer } from "./records.ts";

/**
 * CSV as RFC 4180 has it, read leniently: a quote inside an unquoted field is a character like others, and so is what
 * stands between a closing quote and the next delimiter. Records end at `\n`; a `\r` before it is no part of them, and
 * neither is a byte order mark before them.
 *
 * https://www.rfc-editor.org/rfc/rfc4180#section-2
 */

/**
 * Where a reader is: at the start of a record or of a field, in a plain or quoted field, behind a quote in that one, or
 * behind one or two bytes of a byte order mark.
 */
export const CSV_STATES = ["record", "field", "plain", "quoted", "quote", "mark", "marked"] as const;
export type CsvState = (typeof CSV_STATES)[number];

const [RECORD, FIELD, PLAIN, QUOTED, QUOTE, MARK, MARKED] = [0, 1, 2, 3, 4, 5, 6] as const;
const [QUOTE_BYTE, NEWLINE] = [0x22, 0x0a] as const;

/** Leads from state and byte to the next state, as `table[state << 8 | byte]`. */
function transitions(delimiter: string): Uint8Array {
  const table = new Uint8Array(CSV_STATES.length << 8);
  const row = (state: number, next: number, quote: number, isQuoted = false) => {
    table.fill(next, state << 8, (state + 1) << 8);
    table[(state << 8) | QUOTE_BYTE] = quote;
    if (isQuoted) return;
    table[(state << 8) | delimiter.charCodeAt(0)] = FIELD;
    table[(state << 8) | NEWLINE] = RECORD;
  };
  row(RECORD, PLAIN, QUOTED);
  row(FIELD, PLAIN, QUOTED);
  row(PLAIN, PLAIN, PLAIN);
  row(QUOTED, QUOTED, QUOTE, true);
  row(QUOTE, PLAIN, QUOTED);
  row(MARK, PLAIN, PLAIN);
  row(MARKED, PLAIN, PLAIN);
  table[(RECORD << 8) | 0xef] = MARK;
  table[(MARK << 8) | 0xbb] = MARKED;
  table[(MARKED << 8) | 0xbf] = FIELD;
  return table;
}

/** Steps of one run of the table: short enough that states which have met are soon followed as one. */
const STRIDE = 64 * 2 ** 10;

/**
 * Where a reader that begins in each of the states is behind these bytes. A piece of a file does not tell in which
 * state it begins, but the ways of all states through it can be found without knowing what is before it; put together,
 * piece by piece, they say how each one begins.
 */
export class CsvScan {
  readonly #table: Uint8Array;
  #states: number[] = CSV_STATES.map((_, index) => index);

  constructor(delimiter: string) {
    this.#table = transitions(delimiter);
  }

  read(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; from += STRIDE) {
      const to = Math.min(bytes.length, from + STRIDE);
      const ends = new Map(
        [...new Set(this.#states)].map((state) => [state, through(this.#table, state, bytes, from, to)]),
      );
      this.#states = this.#states.map((state) => ends.get(state)!);
    }
  }

  /** By the state at the beginning. */
  get ends(): Readonly<Record<CsvState, CsvState>> {
    const ways = CSV_STATES.map((state, index) => [state, CSV_STATES[this.#states[index]!]!] as const);
    return Object.fromEntries(ways) as Record<CsvState, CsvState>;
  }
}

function through(table: Uint8Array, start: number, bytes: Uint8Array, from: number, to: number): number {
  let state = start;
  for (let at = from; at < to; at += 1) state = table[(state << 8) | bytes[at]!]!;
  return state;
}

/** Ends of records in CSV with quoted newlines, from a state on. */
export class CsvFramer implements Framer {
  readonly startsRecord: boolean;
  readonly #table: Uint8Array;
  #state: number;

  constructor(delimiter: string, start: CsvState = "record") {
    this.#table = transitions(delimiter);
    this.#state = CSV_STATES.indexOf(start);
    this.startsRecord = start === "record";
  }

  first(bytes: Uint8Array): number {
    let state = this.#state;
    for (let at = 0; at < bytes.length; at += 1) {
      state = this.#table[(state << 8) | bytes[at]!]!;
      if (state !== RECORD) continue;
      this.#state = RECORD;
      return at + 1;
    }
    this.#state = state;
    return 0;
  }

  last(bytes: Uint8Array): number {
    let [state, end] = [this.#state, 0];
    for (let at = 0; at < bytes.length; at += 1) {
      state = this.#table[(state << 8) | bytes[at]!]!;
      if (state === RECORD) end = at + 1;
    }
    this.#state = state;
    return end;
  }
}

const BYTE_ORDER_MARK = 0xfeff;

/** The fields of the record that begins there, and where the next one does. An empty line has no fields. */
export function csvRecord(
  text: string,
  start: number,
  delimiter: string,
): { readonly fields: readonly string[]; readonly next: number } {
  const from = text.charCodeAt(start) === BYTE_ORDER_MARK ? start + 1 : start;
  const newline = text.indexOf("\n", from);
  const next = newline === -1 ? text.length : newline + 1;
  const line = text.slice(from, newline === -1 ? text.length : newline);
  if (!line.includes('"')) {
    const plain = line.endsWith("\r") ? line.slice(0, -1) : line;
    return { fields: plain === "" ? [] : plain.split(delimiter), next };
  }
  return quotedRecord(text, from, delimiter);
}

function quotedRecord(text: string, from: number, delimiter: string) {
  const fields: string[] = [];
  for (let at = from; ; ) {
    let field = "";
    if (text[at] === '"') {
      at += 1;
      for (;;) {
        const quote = text.indexOf('"', at);
        field += text.slice(at, quote === -1 ? text.length : quote);
        at = quote === -1 ? text.length : quote + 1;
        if (quote === -1 || text[at] !== '"') break;
        field += '"';
        at += 1;
      }
    }
    const end = endOfPlain(text, at, delimiter);
    const plain = text.slice(at, end);
    const isLast = text[end] !== delimiter;
    fields.push(field + (isLast && plain.endsWith("\r") ? plain.slice(0, -1) : plain));
    if (isLast) return { fields, next: Math.min(end + 1, text.length) };
    at = end + 1;
  }
}

function endOfPlain(text: string, from: number, delimiter: string): number {
  let at = from;
  while (at < text.length && text[at] !== delimiter && text[at] !== "\n") at += 1;
  return at;
}
