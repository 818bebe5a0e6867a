import * as zlib from "node:zlib";

/**
 * The CRC-32 of bytes.
 *
 * @param previous of what came before them. @default nothing came
 */
export const crc32: (bytes: Uint8Array, previous?: number) => number =
  // Node has it since 20.15; which one Function Compute's `nodejs20` is, it does not say.
  // https://nodejs.org/api/zlib.html#zlibcrc32data-value
  (zlib as { readonly crc32?: typeof zlib.crc32 }).crc32 ?? tableCrc32;

/** A byte at a time, for a Node that has none of its own. */
export function tableCrc32(bytes: Uint8Array, previous = 0): number {
  let register = ~previous;
  for (const byte of bytes) register = TABLE[(register ^ byte) & 0xff]! ^ (register >>> 8);
  return ~register >>> 0;
}

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let word = byte;
  for (let bit = 0; bit < 8; bit += 1) word = word & 1 ? (word >>> 1) ^ 0xedb88320 : word >>> 1;
  return word;
});
