import { execFileSync } from "node:child_process";
import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { folderOf } from "../../lib/shared/archive/application.ts";
import { crc32, tableCrc32 } from "../../lib/shared/archive/crc32.ts";
import {
  type Compression,
  DamagedMember,
  type Line,
  type Member,
  membersIn,
  pack,
  readHead,
  unpack,
} from "../../lib/shared/archive/member.ts";
import { fileName, objectKey, parseFileName, parseKey } from "../../lib/shared/archive/places.ts";

const GZIP: Compression = { codec: "gzip", level: 1 };
const ZSTD: Compression = { codec: "zstd", level: 1 };

const line = (offset: number, value: string | Uint8Array, timestamp = offset): Line => ({
  ...{ offset, timestamp },
  value: typeof value === "string" ? Buffer.from(value) : value,
});

const plain = (lines: readonly Line[]) =>
  lines.map(({ offset, timestamp, value }) => ({ offset, timestamp, value: Buffer.from(value).toString("latin1") }));

const membersOf = async (bytes: Uint8Array, chunk: number): Promise<Member[]> => {
  const chunks = function* () {
    for (let at = 0; at < bytes.byteLength; at += chunk) yield bytes.subarray(at, at + chunk);
  };
  const found: Member[] = [];
  for await (const member of membersIn(Readable.from(chunks()))) found.push(member);
  return found;
};

const lines = fc
  .array(
    fc.record({
      gap: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 2 ** 40 })),
      timestamp: fc.oneof(fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }), fc.maxSafeInteger()),
      value: fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom("", "\n", "\n\n", "a\nb", "{}").map(Buffer.from),
      ),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map((list) => {
    let offset = 0;
    return list.map(({ gap, timestamp, value }) => {
      offset += gap;
      return { offset, timestamp: Math.max(-(2 ** 51), Math.min(2 ** 51, timestamp)), value };
    });
  });

describe.each([GZIP, ZSTD])("members in $codec", (compression) => {
  test("any records come out as they went in, with offset and timestamp", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(lines, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 300 }),
        async (all, chunk) => {
          const members = (await Promise.all(all.map((some, at) => pack("logs", at, some, compression)))).flat();
          const file = Buffer.concat(members.map(({ bytes }) => bytes));
          const found = await membersOf(file, chunk);
          expect(found.map(({ head }) => head)).toEqual(members.map(({ head }) => head));
          expect(found.map(({ bytes }) => plain(unpack(bytes)))).toEqual(all.map(plain));
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a torn tail is no member", async () => {
    const [member] = await pack("logs", 0, [line(0, "one"), line(1, "two\nlines")], compression);
    const { bytes } = member!;
    for (let end = 0; end < bytes.byteLength; end += 1) {
      expect(await membersOf(Buffer.concat([bytes, bytes.subarray(0, end)]), 64)).toHaveLength(1);
    }
    expect(() => unpack(bytes.subarray(0, -1))).toThrow(DamagedMember);
    expect(() => readHead(Buffer.from("this is no file of an archive"))).toThrow(DamagedMember);
  });

  test("what is too much for one member is several", async () => {
    const many = Array.from({ length: 40_000 }, (_, index) => line(index * 3, `${index}`, (index * 7919) % 100_003));
    const members = await pack("logs", 2, many, compression);
    expect(members.length).toBeGreaterThan(2);
    expect(plain(members.flatMap(({ bytes }) => unpack(bytes)))).toEqual(plain(many));
    // Offsets and times that no deflate makes smaller.
    const wild = Array.from({ length: 16_000 }, (_, index) =>
      line(index * 2 ** 30 + ((index * 7919) % 2 ** 29), "", (index * 2_654_435_761) % 2 ** 50),
    );
    expect(plain((await pack("logs", 2, wild, compression)).flatMap(({ bytes }) => unpack(bytes)))).toEqual(
      plain(wild),
    );
    const large = [line(0, Buffer.alloc(20 * 2 ** 20, "x\n")), line(1, "small")];
    const packed = await pack("logs", 0, large, compression);
    expect(packed).toHaveLength(2);
    expect(unpack(packed[0]!.bytes)[0]!.value.byteLength).toBe(20 * 2 ** 20);
  });
});

test("gunzip and Python read what was written in gzip, and zstd what was written in zstd", async () => {
  const all = [line(0, ""), line(1, Buffer.from([0xff, 0, 10, 0xc3])), line(2, "猫\n"), line(3, "x".repeat(100_000))];
  const wanted = Buffer.concat(all.flatMap(({ value }) => [value, Buffer.from("\n")]));
  const file = Buffer.concat(
    [...(await pack("logs", 0, all.slice(0, 2), GZIP)), ...(await pack("logs", 1, all.slice(2), GZIP))].map(
      ({ bytes }) => bytes,
    ),
  );
  execFileSync("gunzip", ["-t"], { input: file });
  expect(execFileSync("zcat", { input: file })).toEqual(wanted);
  const script = "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
  expect(execFileSync("python3", ["-c", script], { input: file })).toEqual(wanted);
});

test("a byte that changed is found out", async () => {
  const [member] = await pack("logs", 0, [line(0, "one"), line(1, "two\nlines")], GZIP);
  const changed = Buffer.from(member!.bytes);
  changed[changed.byteLength - 12]! ^= 0x10;
  expect(() => unpack(changed)).toThrow(DamagedMember);
});

test("a timestamp that is no time, or of another age, is kept as near as can be", async () => {
  const [member] = await pack("logs", 0, [line(0, "", Number.NaN), line(1, "", 1e300), line(2, "", -1)], GZIP);
  expect(unpack(member!.bytes).map(({ timestamp }) => timestamp)).toEqual([0, 2 ** 51, -1]);
  expect(member!.head).toMatchObject({ earliest: -1, latest: 2 ** 51 });
});

test("applications never share a folder, and their folders are safe everywhere", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 80 }), fc.string({ maxLength: 80 }), (one, other) => {
      expect(folderOf(one)).toMatch(/^(?:[a-z0-9][a-z0-9._-]*|[a-z0-9-]*~[a-z0-9]{16})$/);
      expect(folderOf(one)).not.toMatch(/\.\.|\.$/);
      if (one !== other) expect(folderOf(one)).not.toBe(folderOf(other));
    }),
  );
  expect(folderOf("orders")).toBe("orders");
  expect(folderOf("Orders")).not.toBe(folderOf("orders"));
});

test("names and keys say what they were made of", () => {
  const name = { slot: 3, token: 12, tag: "x7k2", codec: "gzip" } as const;
  expect(fileName(name)).toBe("03-00000012-x7k2.log.gz");
  expect(parseFileName(fileName(name))).toEqual(name);
  expect(parseFileName("../x.log.gz")).toBeUndefined();
  const begun = Date.parse("2026-11-21T17:59:59Z");
  const key = objectKey("in/", { folder: "orders", file: fileName(name), begun, earliest: -1, latest: 5 });
  expect(key).toBe("in/app=orders/dt=2026-11-21/hour=17/03-00000012-x7k2_-1_5.log.gz");
  expect(parseKey(key)).toEqual({ file: fileName(name), earliest: -1, latest: 5 });
  expect(parseKey("app=orders/dt=2026-11-21/hour=17/other.txt")).toBeUndefined();
});

test("the CRC-32 of a Node without one is the same", () => {
  const bytes = Buffer.from("123456789");
  expect(crc32(bytes)).toBe(0xcbf43926);
  expect(tableCrc32(bytes.subarray(4), tableCrc32(bytes.subarray(0, 4)))).toBe(0xcbf43926);
});
