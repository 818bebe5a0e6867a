import { randomBytes } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import type { ErrorKind } from "../../lib/runtime/errors.ts";
import type { StreamRecord } from "../../lib/runtime/events.ts";
import { partitionOf } from "../../lib/runtime/partitioner.ts";
import type { NewRecord, StreamClaimer, StreamProducer, StreamReader } from "../../lib/runtime/ports.ts";

/** The streams of a subject: new, empty, of one Kafka, with {@link PARTITIONS} each. */
export type StreamName = "orders" | "results";
export const PARTITIONS = 3;

/** What the suite needs of the streams under test. */
export interface StreamSubject {
  producer(stream: StreamName): Promise<StreamProducer>;
  /**
   * Keeps a place as the function of this name does, which may send to both streams. Every call is one more process of
   * that function.
   */
  claimer(stream: StreamName, group: string): Promise<StreamClaimer>;
  /** Reads the stream as a function does. */
  reader(stream: StreamName): Promise<StreamReader>;
  /** All committed records, by partition and offset. */
  read(stream: StreamName): Promise<readonly StreamRecord[]>;
  close(): Promise<void>;
}

const kind = (expected: ErrorKind) => expect.objectContaining({ kind: expected });
const text = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString();
const values = (records: readonly StreamRecord[]): readonly (string | undefined)[] =>
  records.map(({ value }) => text(value));

/** Each record's value, by partition. */
function byPartition(records: readonly StreamRecord[]): readonly (readonly (string | undefined)[])[] {
  return Array.from({ length: PARTITIONS }, (_, partition) =>
    values(records.filter((record) => record.partition === partition)),
  );
}

/** Appending, and claims whose commit is one with what comes of it: the same wherever the stream lies. */
export function testStream(name: string, make: () => Promise<StreamSubject>): void {
  describe(`a stream, ${name}`, () => {
    const subjects: StreamSubject[] = [];
    const fresh = async (): Promise<StreamSubject> => {
      const subject = await make();
      subjects.push(subject);
      return subject;
    };
    afterEach(async () => {
      for (const subject of subjects.splice(0)) await subject.close();
    });

    describe("appended records", () => testAppending(fresh));
    describe("a reader", () => testReading(fresh));
    describe("a claim", () => testClaims(fresh));
  });
}

function testReading(fresh: () => Promise<StreamSubject>): void {
  it("goes through a partition page by page, from any offset, and moves nobody's place", async () => {
    const subject = await fresh();
    const sent = Array.from({ length: 7 }, (_, index) => ({ partition: 1, key: "k", value: String(index) }));
    await (await subject.producer("orders")).send(sent);
    const claimer = await subject.claimer("orders", "claims");
    const claim = await claimer.claim(1);
    await claim.commit(2, [{ to: await subject.producer("orders"), records: [{ partition: 1, value: "committed" }] }]);
    const reader = await subject.reader("orders");
    expect(reader.stream).toBe("orders");
    const [all] = await subject.read("orders");
    const found: StreamRecord[] = [];
    for (let from = all!.offset + 3; ; ) {
      const { records, next } = await reader.read({ partition: 1, from, limit: 2 });
      if (records.length === 0) break;
      expect(records.length).toBeLessThanOrEqual(2);
      found.push(...records);
      from = next;
    }
    expect(values(found)).toEqual(["3", "4", "5", "6", "committed"]);
    expect(found[0]).toEqual((await subject.read("orders"))[3]);
    expect((await reader.read({ partition: 0 })).records).toEqual([]);
    await expect(reader.read({ partition: PARTITIONS })).rejects.toThrow(kind("bad-input"));
    await expect(reader.read({ partition: 0, limit: 0 })).rejects.toThrow(kind("bad-input"));
    expect((await (await subject.claimer("orders", "claims")).claim(1)).next).toBe(2);
  });
}

function testAppending(fresh: () => Promise<StreamSubject>): void {
  const sent = async (...records: readonly NewRecord[]) => {
    const subject = await fresh();
    await (await subject.producer("orders")).send(records);
    return subject.read("orders");
  };

  it("lie in their partition in the order they were sent, call after call", async () => {
    const subject = await fresh();
    const producer = await subject.producer("orders");
    expect(producer.stream).toBe("orders");
    for (let call = 0; call < 4; call += 1) {
      const records = Array.from({ length: 30 }, (_, index) => ({
        partition: index % PARTITIONS,
        value: `${call}.${index}`,
      }));
      await producer.send(records);
    }
    const wanted = Array.from({ length: PARTITIONS }, (_, partition) =>
      [0, 1, 2, 3].flatMap((call) =>
        Array.from({ length: 10 }, (_, index) => `${call}.${index * PARTITIONS + partition}`),
      ),
    );
    const found = await subject.read("orders");
    expect(byPartition(found)).toEqual(wanted);
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const offsets = found.filter((record) => record.partition === partition).map(({ offset }) => offset);
      expect(offsets).toEqual([...new Set(offsets)].sort((one, other) => one - other));
    }
  });

  it("of one key lie in the partition that Kafka gives the key", async () => {
    const keys = Array.from({ length: 40 }, (_, index) => `key-${index % 20}`);
    const found = await sent(...keys.map((key, index) => ({ key, value: String(index) })));
    expect(found).toHaveLength(40);
    expect(new Set(found.map(({ partition }) => partition)).size).toBe(PARTITIONS);
    for (const { key, partition } of found) expect(partition).toBe(partitionOf(key!, PARTITIONS));
    const ofOne = found.filter(({ key }) => text(key) === "key-7");
    expect(values(ofOne)).toEqual(["7", "27"]);
  });

  it("without a key lie anywhere, in order where they are together", async () => {
    const found = await sent(...Array.from({ length: 30 }, (_, index) => ({ value: String(index) })));
    expect([...values(found)].map(Number).sort((one, other) => one - other)).toEqual([...Array(30).keys()]);
    for (const part of byPartition(found)) {
      const numbers = part.map(Number);
      expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
    }
  });

  it("keep the difference between nothing and no bytes", async () => {
    const nothing = new Uint8Array();
    const found = await sent(
      { partition: 0, key: "gone" },
      { partition: 0, key: "empty", value: nothing },
      { partition: 0, value: "no key" },
      { partition: 0, key: nothing, value: "empty key" },
      { partition: 0 },
    );
    const shown = found.map(({ key, value }) => [text(key), text(value)]);
    expect(shown).toEqual([
      ["gone", undefined],
      ["empty", ""],
      [undefined, "no key"],
      ["", "empty key"],
      [undefined, undefined],
    ]);
    expect(found.map((record) => ["key" in record, "value" in record])).toEqual([
      [true, false],
      [true, true],
      [false, true],
      [true, true],
      [false, false],
    ]);
  });

  it("are bytes, and come back as the bytes they were", async () => {
    const value = randomBytes(1000);
    const key = Buffer.from([0xff, 0xfe, 0, 0x80, 0xc3, 0x28]);
    const [record] = await sent({ key, value: value.subarray(100, 900) });
    expect(record!.value).toBeInstanceOf(Uint8Array);
    expect(Buffer.from(record!.value!).equals(value.subarray(100, 900))).toBe(true);
    expect(Buffer.from(record!.key!).equals(key)).toBe(true);
  });

  it("may be a megabyte each", async () => {
    const large = [randomBytes(1_000_000), randomBytes(1_000_000), randomBytes(1_000_000)];
    const found = await sent(...large.map((value) => ({ partition: 1, value })));
    expect(found.map(({ value }, index) => Buffer.from(value!).equals(large[index]!))).toEqual([true, true, true]);
  });

  it("have headers of text and of bytes", async () => {
    const bytes = Buffer.from([0, 0xff]);
    const [record, bare] = await sent(
      { partition: 0, value: "a", headers: { text: "größe", bytes, empty: "", "x-y.z": "1" } },
      { partition: 0, value: "b" },
    );
    const { headers } = record!;
    expect(Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(value)]))).toEqual({
      text: Buffer.from("größe"),
      bytes,
      empty: Buffer.alloc(0),
      "x-y.z": Buffer.from("1"),
    });
    expect(bare!.headers).toEqual({});
  });

  it("have the time they are given, however far away, or else now", async () => {
    const far = 7_258_118_400_000;
    const found = await sent({ partition: 0, value: "a", timestamp: far }, { partition: 0, value: "b" });
    expect(found[0]!.timestamp).toBe(far);
    expect(found[1]!.timestamp).toBeGreaterThan(0);
    expect(found[1]!.timestamp).not.toBe(far);
  });

  it("may be none", async () => {
    expect(await sent()).toEqual([]);
  });

  it("for a partition there is none of are refused", async () => {
    const subject = await fresh();
    const producer = await subject.producer("orders");
    await expect(producer.send([{ partition: PARTITIONS, value: "a" }])).rejects.toThrow(kind("bad-input"));
    await producer.send([{ partition: PARTITIONS - 1, value: "b" }]);
    expect(values(await subject.read("orders"))).toEqual(["b"]);
  });
}

function testClaims(fresh: () => Promise<StreamSubject>): void {
  it("of what was never claimed knows no place", async () => {
    const claim = await (await (await fresh()).claimer("orders", "count")).claim(1);
    expect({ partition: claim.partition, next: claim.next }).toEqual({ partition: 1, next: undefined });
  });

  it("answers the place that was committed, to another process too", async () => {
    const subject = await fresh();
    const first = await (await subject.claimer("orders", "count")).claim(0);
    await first.commit(5);
    await first.commit(12);
    expect((await (await subject.claimer("orders", "count")).claim(0)).next).toBe(12);
  });

  it("may be made again before anything is committed", async () => {
    const claimer = await (await fresh()).claimer("orders", "count");
    await claimer.claim(0);
    expect((await claimer.claim(0)).next).toBeUndefined();
  });

  it("is one of its partition and of its function", async () => {
    const subject = await fresh();
    const claimer = await subject.claimer("orders", "count");
    const [first, other] = [await claimer.claim(0), await claimer.claim(1)];
    const stranger = await (await subject.claimer("orders", "archive")).claim(0);
    await first.commit(3);
    await other.commit(4);
    expect(stranger.next).toBeUndefined();
    await stranger.commit(9);
    const next = async (group: string, partition: number) =>
      (await (await subject.claimer("orders", group)).claim(partition)).next;
    expect([await next("count", 0), await next("count", 1), await next("archive", 0)]).toEqual([3, 4, 9]);
    expect(await next("archive", 1)).toBeUndefined();
  });

  it("commits its place and records as one, to several streams", async () => {
    const subject = await fresh();
    const [orders, results] = [await subject.producer("orders"), await subject.producer("results")];
    const claim = await (await subject.claimer("orders", "count")).claim(0);
    await claim.commit(2, [
      { to: results, records: ["a", "b", "c"].map((value) => ({ partition: 2, value })) },
      { to: orders, records: [{ key: "again", value: "d" }] },
      {
        to: results,
        records: [
          { partition: 2, value: "e", headers: { h: "1" } },
          { partition: 2, key: "gone" },
        ],
      },
    ]);
    const found = await subject.read("results");
    expect(values(found)).toEqual(["a", "b", "c", "e", undefined]);
    expect(text(found[3]!.headers.h)).toBe("1");
    expect(values(await subject.read("orders"))).toEqual(["d"]);
    expect((await (await subject.claimer("orders", "count")).claim(0)).next).toBe(2);
  });

  it("commits again and again, and what is sent otherwise meanwhile stays", async () => {
    const subject = await fresh();
    const results = await subject.producer("results");
    const claim = await (await subject.claimer("orders", "count")).claim(0);
    for (let next = 1; next <= 5; next += 1) {
      await claim.commit(next, [{ to: results, records: [{ partition: 0, value: `committed ${next}` }] }]);
      await results.send([{ partition: 1, value: `sent ${next}` }]);
    }
    const [committed, sent] = byPartition(await subject.read("results"));
    expect(committed).toEqual([1, 2, 3, 4, 5].map((next) => `committed ${next}`));
    expect(sent).toEqual([1, 2, 3, 4, 5].map((next) => `sent ${next}`));
  });

  it("that somebody else has taken over commits nothing any more", async () => {
    const subject = await fresh();
    const results = await subject.producer("results");
    const zombie = await (await subject.claimer("orders", "count")).claim(0);
    await zombie.commit(1, [{ to: results, records: [{ partition: 0, value: "early" }] }]);
    const heir = await (await subject.claimer("orders", "count")).claim(0);
    expect(heir.next).toBe(1);
    const late = zombie.commit(7, [{ to: results, records: [{ partition: 0, value: "late" }] }]);
    await expect(late).rejects.toThrow(kind("conflict"));
    await heir.commit(2, [{ to: results, records: [{ partition: 0, value: "heir" }] }]);
    await expect(zombie.commit(8)).rejects.toThrow(kind("conflict"));
    expect(values(await subject.read("results"))).toEqual(["early", "heir"]);
    expect((await (await subject.claimer("orders", "count")).claim(0)).next).toBe(2);
  });

  it("whose commit fails leaves neither place nor records", async () => {
    const subject = await fresh();
    const [orders, results] = [await subject.producer("orders"), await subject.producer("results")];
    const claim = await (await subject.claimer("orders", "count")).claim(0);
    await claim.commit(1, [{ to: results, records: [{ partition: 0, value: "good" }] }]);
    const sends = [
      { to: results, records: [{ partition: 0, value: "half" }] },
      { to: orders, records: [{ partition: PARTITIONS, value: "nowhere" }] },
    ];
    await expect(claim.commit(2, sends)).rejects.toThrow(kind("bad-input"));
    const again = await (await subject.claimer("orders", "count")).claim(0);
    expect(again.next).toBe(1);
    await again.commit(2, [{ to: results, records: [{ partition: 0, value: "whole" }] }]);
    expect(values(await subject.read("results"))).toEqual(["good", "whole"]);
    expect(await subject.read("orders")).toEqual([]);
  });

  it("of a partition there is none of is refused", async () => {
    const claimer = await (await fresh()).claimer("orders", "count");
    await expect(claimer.claim(PARTITIONS)).rejects.toThrow(kind("bad-input"));
  });
}
