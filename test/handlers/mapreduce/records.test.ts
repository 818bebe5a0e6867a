import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CsvFramer, CsvScan, csvRecord } from "../../../lib/handlers/mapreduce/csv.ts";
import { formatOf } from "../../../lib/handlers/mapreduce/formats.ts";
import { bordersOf } from "../../../lib/handlers/mapreduce/gather.ts";
import { batches, type Framer, type Piece } from "../../../lib/handlers/mapreduce/records.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { GetOptions } from "../../../lib/runtime/ports.ts";

/** An object in memory that counts what is read of it. */
function objectOf(bytes: Buffer) {
  const read = { bytes: 0 };
  const check = ({ ifMatch }: GetOptions) => {
    if (ifMatch !== "etag") throw new MillraceError("conflict", "another etag");
  };
  const reader = {
    async get(_: string, options: GetOptions = {}) {
      check(options);
      const [first, last] = options.range ?? [0, bytes.length - 1];
      expect(first).toBeLessThanOrEqual(last);
      expect(last).toBeLessThan(bytes.length);
      const part = bytes.subarray(first, last + 1);
      read.bytes += part.length;
      return part;
    },
    async stream(_: string, options: GetOptions = {}) {
      check(options);
      return Readable.from([bytes.subarray(0, 10), bytes.subarray(10)]);
    },
  };
  return { reader, read };
}

const { signal } = new AbortController();

/** Pieces between cuts, in any order and number. */
function piecesOf(size: number, cuts: readonly number[], key = "object"): readonly Piece[] {
  const borders = [0, ...cuts.map((cut) => cut % (size + 1)), size].sort((one, other) => one - other);
  return borders.slice(1).map((to, index) => ({ key, etag: "etag", size, from: borders[index]!, to }));
}

/** Records with where each begins, over all pieces. */
async function recordsOf(
  bytes: Buffer,
  pieces: readonly Piece[],
  framerOf: (piece: Piece) => Framer,
  form = formatOf("lines"),
  block = 7,
) {
  const { reader } = objectOf(bytes);
  const found: (readonly [offset: number, record: unknown])[] = [];
  for (const piece of pieces) {
    for await (const batch of batches(reader, piece, framerOf(piece), { signal, block })) {
      let index = 0;
      for (const raw of form.raws(batch)) found.push([form.offsetOf(batch, index++), raw]);
    }
  }
  return found;
}

/** Lines as they are read in one go, one character after the other. */
function linesOf(bytes: Buffer): readonly (readonly [number, string])[] {
  const found: [number, string][] = [];
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(10, at);
    const end = newline === -1 ? bytes.length : newline;
    found.push([at, bytes.subarray(at, end).toString("utf8").replace(/\r$/, "")]);
    at = end + 1;
  }
  return found;
}

const CUTS = fc.array(fc.nat(1000), { maxLength: 12 });
const PART = fc.constantFrom("", "a", "bc", "\r", "ü", "漢字", "🎈🎈", "x".repeat(40), "y".repeat(300));
const BREAK = fc.constantFrom("\n", "\r\n", "\n\n", "");
const LINES = fc.array(fc.tuple(PART, BREAK), { maxLength: 20 }).map((parts) => Buffer.from(parts.flat().join("")));

test("lines: however an object is cut, each is read once, whole, by the piece it starts in", async () => {
  const { framer } = formatOf("lines");
  await fc.assert(
    fc.asyncProperty(LINES, CUTS, fc.integer({ min: 1, max: 64 }), async (bytes, cuts, block) => {
      const pieces = piecesOf(bytes.length, cuts);
      const found = await recordsOf(bytes, pieces, () => framer(), formatOf("lines"), block);
      expect(found).toEqual(linesOf(bytes));
    }),
    { numRuns: 500 },
  );
});

test("lines: cut at every byte", async () => {
  const bytes = Buffer.from('one\r\n\n\nü🎈漢\r\nlonger than the others\n{"a":1}\nlast');
  const cuts = Array.from({ length: bytes.length }, (_, index) => index);
  const { framer } = formatOf("lines");
  expect(await recordsOf(bytes, piecesOf(bytes.length, cuts), () => framer())).toEqual(linesOf(bytes));
});

/** CSV as it is read in one go, by its rules, one character after the other. */
function csvOf(text: string): readonly (readonly string[])[] {
  const records: string[][] = [];
  let [fields, field, at]: [string[], string, number] = [[], "", 0];
  const endField = () => {
    fields.push(field);
    field = "";
  };
  while (at < text.length) {
    let isQuoted = false;
    if (text[at] === '"') {
      isQuoted = true;
      for (at += 1; at < text.length; at += 1) {
        if (text[at] !== '"') field += text[at];
        else if (text[at + 1] === '"') {
          field += '"';
          at += 1;
        } else break;
      }
      at += 1;
    }
    for (; at < text.length && text[at] !== "," && text[at] !== "\n"; at += 1) field += text[at];
    const isEnd = text[at] !== ",";
    if (
      isEnd &&
      field.endsWith("\r") &&
      text[at - 1] === "\r" &&
      !(isQuoted && text[at] === undefined && text.at(-1) !== "\r")
    ) {
      field = field.slice(0, -1);
    }
    endField();
    at += 1;
    if (!isEnd) {
      if (at >= text.length) endField();
      else continue;
    }
    records.push(fields.length === 1 && fields[0] === "" && !isQuoted ? [] : fields);
    fields = [];
  }
  return records;
}

const FIELD = fc.oneof(
  fc.constantFrom("", "a", "ü", "漢", '5" pipe', "x".repeat(50)),
  fc
    .array(fc.constantFrom("a", '""', ",", "\n", "\r\n", "ü", "long ".repeat(20)), { maxLength: 6 })
    .map((parts) => `"${parts.join("")}"`),
  fc.constantFrom('"a"b', '"quoted" and "not"'),
);
const CSV = fc
  .tuple(
    fc.array(
      fc.array(FIELD, { minLength: 1, maxLength: 4 }).map((fields) => fields.join(",")),
      { maxLength: 12 },
    ),
    fc.constantFrom("\n", "\r\n"),
    fc.boolean(),
  )
  .map(([records, end, ends]) => records.join(end) + (ends && records.length > 0 ? end : ""));

const CSV_FORMAT = { csv: { columns: ["a"] } };

/** As a run does it: all pieces are scanned, then read from the states found. */
async function csvInPieces(text: string, cuts: readonly number[], block: number) {
  const bytes = Buffer.from(text);
  const pieces = piecesOf(bytes.length, cuts);
  const ways = pieces.map(({ key, from, to }) => {
    const scan = new CsvScan(",");
    scan.read(bytes.subarray(from, to));
    return { key, from, to, ends: scan.ends };
  });
  const borders = bordersOf(ways);
  const stateOf = ({ from }: Piece) => (from === 0 ? "record" : borders.find((border) => border.from === from)!.state);
  const form = formatOf(CSV_FORMAT);
  return recordsOf(bytes, pieces, (piece) => form.framer(stateOf(piece)), form, block);
}

test("CSV: quoted line breaks, doubled quotes and stray ones, however it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(CSV, CUTS, fc.integer({ min: 1, max: 64 }), async (text, cuts, block) => {
      const found = await csvInPieces(text, cuts, block);
      expect(found.map(([, fields]) => fields)).toEqual(csvOf(text));
      const bytes = Buffer.from(text);
      // Each is found again where it is said to be.
      for (const [offset, fields] of found)
        expect(csvRecord(bytes.subarray(offset).toString("utf8"), 0, ",").fields).toEqual(fields);
    }),
    { numRuns: 500 },
  );
});

test("CSV: cut at every byte", async () => {
  const text = 'a,"b\n""c"",",d\r\n"\n\n\n",,5"\n\n"ü\r\n🎈",x\r\nlast,"""';
  const cuts = Array.from({ length: Buffer.byteLength(text) }, (_, index) => index);
  const whole = await csvInPieces(text, [], 1000);
  expect(whole.map(([, fields]) => fields)).toEqual(csvOf(text));
  expect(await csvInPieces(text, cuts, 3)).toEqual(whole);
});

test("CSV: a byte order mark is no part of the first field, quoted or not", async () => {
  const bytes = Buffer.from('\uFEFF"a\nb",c\n1,2\n');
  const form = formatOf({ csv: { columns: ["a", "b"] } });
  const found = await recordsOf(bytes, piecesOf(bytes.length, []), () => new CsvFramer(","), form);
  expect(found.map(([, fields]) => fields)).toEqual([
    ["a\nb", "c"],
    ["1", "2"],
  ]);
});

test("a record of many blocks is read once, and what is not needed is not read", async () => {
  const long = "x".repeat(300_000);
  const bytes = Buffer.from(`first\n${long}\nlast\n${"y".repeat(500_000)}`);
  const { reader, read } = objectOf(bytes);
  const piece: Piece = { key: "object", etag: "etag", size: bytes.length, from: 0, to: 10 };
  const texts: string[] = [];
  for await (const batch of batches(reader, piece, formatOf("lines").framer(), { signal, block: 2 ** 20 })) {
    texts.push(...(formatOf("lines").raws(batch) as Iterable<string>));
  }
  expect(texts).toEqual(["first", long]);
  expect(read.bytes).toBeLessThan(300_000 + 3 * 64 * 1024 * 2);
});

test("gzip is read whole, several members too, and a torn one is refused", async () => {
  const bytes = Buffer.concat([gzipSync("one\ntwo\nth"), gzipSync("ree\nlast")]);
  const pieces = piecesOf(bytes.length, [], "object.gz");
  const found = await recordsOf(bytes, pieces, () => formatOf("lines").framer());
  expect(found.map(([, record]) => record)).toEqual(["one", "two", "three", "last"]);
  const torn = bytes.subarray(0, bytes.length - 9);
  await expect(recordsOf(torn, pieces, () => formatOf("lines").framer())).rejects.toMatchObject({ kind: "bad-input" });
});

test("an object that is another one by now is refused", async () => {
  const bytes = Buffer.from("one\ntwo\n");
  const [piece] = piecesOf(bytes.length, []);
  await expect(
    recordsOf(bytes, [{ ...piece!, etag: "older" }], () => formatOf("lines").framer()),
  ).rejects.toMatchObject({ kind: "bad-input", message: "object changed while the run read it" });
});
