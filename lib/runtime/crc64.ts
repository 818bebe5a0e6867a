/**
 * The two CRC-64 that object stores say of what they hold: `ecma` (Alibaba Cloud's OSS) and `nvme` (S3).
 *
 * Both are computed over all bytes, and those of two halves give that of the whole: so the pieces of an object are
 * checked where they are copied, and the object without reading it again.
 */
export type Crc64Kind = "ecma" | "nvme";

/** Their polynomials, lowest power first. https://reveng.sourceforge.io/crc-catalogue/17plus.htm */
const POLYNOMIALS: Readonly<Record<Crc64Kind, bigint>> = { ecma: 0xc96c5795d7870f42n, nvme: 0x9a6c9329ac4bc9b5n };
const ALL = 0xffff_ffff_ffff_ffffn;

/**
 * The CRC of bytes, as 16 hexadecimal digits.
 *
 * @param previous of what came before them. @default nothing came
 */
export function crc64(kind: Crc64Kind, bytes: Uint8Array, previous = EMPTY): string {
  const { memory, update } = engineOf(kind);
  let register = BigInt(`0x${previous}`) ^ ALL;
  for (let from = 0; from < bytes.byteLength; from += WINDOW) {
    const part = bytes.subarray(from, from + WINDOW);
    memory.set(part, TABLE_BYTES);
    register = update(register, TABLE_BYTES, TABLE_BYTES + part.byteLength);
  }
  return toHex(BigInt.asUintN(64, register ^ ALL));
}

/** That of nothing. */
const EMPTY = "0000000000000000";

/**
 * The CRC of two halves together.
 *
 * @param size of the second one, in bytes
 */
export function combineCrc64(kind: Crc64Kind, first: string, second: string, size: number): string {
  return toHex(times(kind, power(kind, size), BigInt(`0x${first}`)) ^ BigInt(`0x${second}`));
}

const toHex = (value: bigint): string => value.toString(16).padStart(16, "0");

/** Sizes of pieces repeat themselves, and a power takes as long as a few megabytes of bytes. */
const powers = new Map<string, bigint>();
const MOST_POWERS = 64;

/** x to the power of eight times the size, modulo the polynomial: what appending that many bytes multiplies by. */
function power(kind: Crc64Kind, size: number): bigint {
  const name = `${kind} ${size}`;
  const known = powers.get(name);
  if (known !== undefined) return known;
  let result = 1n << 63n; // 1: the lowest power is the highest bit
  let square = 1n << 62n; // x
  for (let bits = BigInt(size) * 8n; bits > 0n; bits >>= 1n) {
    if (bits & 1n) result = times(kind, square, result);
    square = times(kind, square, square);
  }
  if (powers.size >= MOST_POWERS) powers.clear();
  powers.set(name, result);
  return result;
}

/** Of two polynomials, modulo that of the kind. */
function times(kind: Crc64Kind, one: bigint, other: bigint): bigint {
  const polynomial = POLYNOMIALS[kind];
  let product = 0n;
  let factor = other;
  for (let bit = 1n << 63n; bit > 0n; bit >>= 1n) {
    if (one & bit) product ^= factor;
    factor = factor & 1n ? (factor >> 1n) ^ polynomial : factor >> 1n;
  }
  return product;
}

/** Sixteen tables of 256 words take sixteen bytes at a time. */
const SLICES = 16;
const TABLE_BYTES = SLICES * 256 * 8;
/** Bytes that are copied into the engine's memory at once: they stay in the processor's cache. */
const WINDOW = 2 ** 16;

interface Engine {
  readonly memory: Uint8Array;
  /** @param register the CRC so far, inverted */
  update(register: bigint, from: number, to: number): bigint;
}

const engines = new Map<Crc64Kind, Engine>();

function engineOf(kind: Crc64Kind): Engine {
  const known = engines.get(kind);
  if (known) return known;
  const instance = new assembly.Instance(new assembly.Module(program()));
  const { memory, update } = instance.exports as { memory: { buffer: ArrayBuffer }; update: Engine["update"] };
  const engine = { memory: new Uint8Array(memory.buffer), update };
  new BigUint64Array(memory.buffer, 0, SLICES * 256).set(tables(POLYNOMIALS[kind]));
  engines.set(kind, engine);
  return engine;
}

/** The table of slice n says what a byte comes to that n bytes follow. */
function tables(polynomial: bigint): BigUint64Array {
  const words = new BigUint64Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let word = BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) word = word & 1n ? (word >> 1n) ^ polynomial : word >> 1n;
    words[byte] = word;
  }
  for (let index = 256; index < words.length; index += 1) {
    const before = words[index - 256]!;
    words[index] = words[Number(before & 0xffn)]! ^ (before >> 8n);
  }
  return words;
}

/** Node has it; the types of a library without a browser do not. */
const assembly = (
  globalThis as unknown as {
    readonly WebAssembly: {
      readonly Module: new (bytes: Uint8Array) => object;
      readonly Instance: new (module: object) => { readonly exports: unknown };
    };
  }
).WebAssembly;

/**
 * The loop in WebAssembly, which has words of 64 bits: several times as fast as halves of 32 bits in JavaScript.
 *
 *     while (from + 16 <= to) { sixteen bytes, each by the table of its slice }
 *     while (from < to) { one byte }
 *
 * @see https://webassembly.github.io/spec/core/binary/index.html
 */
function program(): Uint8Array {
  const [register, from, to, low, high] = [0, 1, 2, 3, 4] as const;
  const local = (index: number) => [0x20, index];
  const keep = (index: number) => [0x21, index];
  const word = (value: number) => [0x42, ...signed(value)];
  const address = (value: number) => [0x41, ...signed(value)];
  const load = (offset: number) => [0x29, 0x03, ...unsigned(offset)];
  /** What a byte of a word comes to by a slice's table: `tables[slice][(word >> 8 * byte) & 255]`, 8 bytes each. */
  const look = (value: number, byte: number, slice: number) => [
    ...local(value),
    ...(byte === 0 ? [...word(3), 0x86] : [...word(8 * byte - 3), 0x88]), // shl or shr_u
    ...[...word(0x7f8), 0x83, 0xa7], // and, wrap to 32 bits
    ...load(slice * 2048),
  ];
  const xor = 0x85;
  const eight = (value: number, last: number) =>
    Array.from({ length: 8 }, (_, byte) => [...look(value, byte, last - byte), ...(byte > 0 ? [xor] : [])]).flat();
  const sixteen = [
    ...[...local(from), ...load(0), ...local(register), xor, ...keep(low)],
    ...[...local(from), ...load(8), ...keep(high)],
    ...[...eight(low, 15), ...eight(high, 7), xor, ...keep(register)],
    ...[...local(from), ...address(16), 0x6a, ...keep(from)],
  ];
  const one = [
    ...[...local(register), ...local(from), 0x31, 0x00, 0x00, xor, ...keep(low)], // a byte as a word
    ...[...look(low, 0, 0), ...local(register), ...word(8), 0x88, xor, ...keep(register)],
    ...[...local(from), ...address(1), 0x6a, ...keep(from)],
  ];
  const loop = (condition: readonly number[], body: readonly number[]) => [
    ...[0x03, 0x40, ...condition, 0x04, 0x40, ...body, 0x0c, 0x01, 0x0b, 0x0b], // loop, if, …, br, end, end
  ];
  const code = [
    ...[0x01, 0x02, 0x7e], // two more locals of 64 bits
    ...loop([...local(from), ...address(16), 0x6a, ...local(to), 0x4d], sixteen), // le_u
    ...loop([...local(from), ...local(to), 0x49], one), // lt_u
    ...[...local(register), 0x0b],
  ];
  const pages = Math.ceil((TABLE_BYTES + WINDOW) / 65_536);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [0x01, 0x60, 0x03, 0x7e, 0x7f, 0x7f, 0x01, 0x7e]), // (i64, i32, i32) -> i64
    ...section(3, [0x01, 0x00]),
    ...section(5, [0x01, 0x00, pages]),
    ...section(7, [0x02, ...name("memory"), 0x02, 0x00, ...name("update"), 0x00, 0x00]),
    ...section(10, [0x01, ...unsigned(code.length), ...code]),
  ]);
}

const section = (id: number, content: readonly number[]) => [id, ...unsigned(content.length), ...content];

const name = (text: string) => [text.length, ...Buffer.from(text)];

/** A whole number as WebAssembly writes it, seven bits a byte. */
function unsigned(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** As {@link unsigned}, with the sign in the last byte's sixth bit; here for what is not negative. */
function signed(value: number): readonly number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];
}
