import fc from "fast-check";
import { expect, test } from "vitest";
import { type Crc64Kind, combineCrc64, crc64 } from "../../lib/runtime/crc64.ts";

const KINDS: readonly Crc64Kind[] = ["ecma", "nvme"];
const POLYNOMIALS = { ecma: 0xc96c5795d7870f42n, nvme: 0x9a6c9329ac4bc9b5n } as const;

/** Bit by bit, as the definition says it. */
function byDefinition(kind: Crc64Kind, bytes: Uint8Array): string {
  let register = 0xffff_ffff_ffff_ffffn;
  for (const byte of bytes) {
    register ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1)
      register = register & 1n ? (register >> 1n) ^ POLYNOMIALS[kind] : register >> 1n;
  }
  return (register ^ 0xffff_ffff_ffff_ffffn).toString(16).padStart(16, "0");
}

test.each([
  // https://reveng.sourceforge.io/crc-catalogue/17plus.htm: CRC-64/XZ, which OSS calls ECMA, and CRC-64/NVME
  ["ecma", "123456789", "995dc9bbdf1939fa"],
  ["nvme", "123456789", "ae8b14860a799888"],
  ["ecma", "", "0000000000000000"],
  ["nvme", "", "0000000000000000"],
] as const)("the published value of %s: %j", (kind, text, expected) => {
  expect(crc64(kind, Buffer.from(text))).toBe(expected);
});

test.each([
  // NVM Command Set Specification 1.0, "CRC-64 Test Cases": 4 KiB each
  [Buffer.alloc(4096), "6482d367eb22b64e"],
  [Buffer.alloc(4096, 0xff), "c0ddba7302eca3ac"],
  [Buffer.from(Array.from({ length: 4096 }, (_, index) => index & 0xff)), "3e729f5f6750449c"],
])("a published block of nvme", (bytes, expected) => {
  expect(crc64("nvme", bytes)).toBe(expected);
});

test.each(KINDS)("%s of any bytes is what the definition says", (kind) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(crc64(kind, bytes)).toBe(byDefinition(kind, bytes));
    }),
  );
});

test.each(KINDS)("%s goes on from what came before, wherever it is cut, and halves give the whole", (kind) => {
  const bytes = Buffer.from(Array.from({ length: 150_001 }, (_, index) => (index * 31 + (index >> 8)) & 0xff));
  const whole = crc64(kind, bytes);
  for (const cut of [0, 1, 15, 16, 17, 65_535, 65_536, 65_537, 150_000, 150_001]) {
    const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)];
    expect(crc64(kind, second, crc64(kind, first))).toBe(whole);
    expect(combineCrc64(kind, crc64(kind, first), crc64(kind, second), second.length)).toBe(whole);
  }
});

test("one changed bit changes it", () => {
  const bytes = Buffer.alloc(100_000, 7);
  const before = crc64("nvme", bytes);
  bytes[77_777]! ^= 1;
  expect(crc64("nvme", bytes)).not.toBe(before);
});
