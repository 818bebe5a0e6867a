import fc from "fast-check";
import { expect, test } from "vitest";
import { batchesOf, Turns } from "../../lib/runtime/kafka/batches.ts";
import { connectionOf, readUser } from "../../lib/runtime/kafka/connection.ts";
import { decodeBatches, encodeBatch, type PlainRecord, type Stamp } from "../../lib/runtime/kafka/records.ts";
import { partitionOf } from "../../lib/runtime/partitioner.ts";

const STAMP: Stamp = { producer: 7n, epoch: 1, number: 0, isTransactional: false };
const bytes = fc.uint8Array({ maxLength: 300 });
const record = fc.record({
  key: fc.option(bytes, { nil: undefined }),
  value: fc.option(bytes, { nil: undefined }),
  headers: fc.dictionary(fc.string(), bytes, { maxKeys: 3 }),
  timestamp: fc.integer({ min: -(2 ** 45), max: 2 ** 45 }),
});

const plain = (records: readonly { key?: Uint8Array; value?: Uint8Array; headers?: object; timestamp?: number }[]) =>
  records.map(
    ({ key, value, headers = {}, timestamp = 0 }, index): PlainRecord => ({
      key,
      value,
      headers: Object.entries(headers).map(([name, content]) => [Buffer.from(name), content as Uint8Array] as const),
      timestamp,
      index,
    }),
  );

/** As a broker keeps it: with the offset of its first record, which the checksum does not cover. */
function kept(records: readonly PlainRecord[], first: number, stamp: Partial<Stamp> = {}): Buffer {
  const batch = encodeBatch(records, { ...STAMP, ...stamp });
  batch.writeBigInt64BE(BigInt(first), 0);
  return batch;
}

const read = (batches: readonly Buffer[], from: number, aborted: readonly { producer: bigint; first: number }[] = []) =>
  decodeBatches(Buffer.concat(batches), { partition: 3, from, aborted });
const one = (text: string) => plain([{ value: Buffer.from(text) }]);
const texts = ({ records }: ReturnType<typeof read>) => records.map(({ value }) => Buffer.from(value!).toString());

test("what is written is read: keys, values, headers, times, nothing and no bytes", () => {
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 0, max: 2 ** 40 }),
      (all, first) => {
        const { records, next } = read([kept(plain(all as never), first)], first);
        expect(next).toBe(first + all.length);
        expect(records).toEqual(
          all.map(({ key, value, headers, timestamp }, index) => ({
            partition: 3,
            offset: first + index,
            timestamp,
            ...(key && { key }),
            ...(value && { value }),
            headers: Object.fromEntries(Object.entries(headers)),
          })),
        );
      },
    ),
  );
});

test("reading begins in the middle of a batch, and ends before one that is cut", () => {
  const values = ["a", "b", "c"].flatMap((text) => one(text));
  const [first, second] = [kept(values, 10), kept(one("d"), 13)];
  expect(read([first, second], 12)).toMatchObject({ next: 14 });
  expect(texts(read([first, second], 12))).toEqual(["c", "d"]);
  expect(texts(read([first, second.subarray(0, second.length - 1)], 10))).toEqual(["a", "b", "c"]);
  expect(read([], 10)).toEqual({ records: [], next: 10 });
});

test("records of an aborted transaction are passed, those of the same producer before and after are not", () => {
  const control = (first: number, isCommit: boolean) => {
    const key = Buffer.from([0, 0, 0, isCommit ? 1 : 0]);
    const batch = kept(plain([{ key, value: Buffer.alloc(6) }]), first, { isTransactional: true });
    batch.writeInt16BE(batch.readInt16BE(21) | 0b100000, 21);
    return sealed(batch);
  };
  const own = { isTransactional: true };
  const batches = [
    kept(one("committed"), 0, own),
    control(1, true),
    kept(one("aborted"), 2, own),
    kept(one("another's"), 3, { ...own, producer: 8n }),
    kept(one("plain"), 4),
    control(5, false),
    kept(one("later"), 6, own),
    control(7, true),
  ];
  const found = read(batches, 0, [{ producer: 7n, first: 2 }]);
  expect(texts(found)).toEqual(["committed", "another's", "plain", "later"]);
  expect(found.next).toBe(8);
});

test("a batch that is damaged is not taken for another one, and one of an old format is named", () => {
  const damaged = kept(one("value"), 5);
  damaged[damaged.length - 2]! ^= 1;
  expect(() => read([damaged], 5)).toThrow("partition 3, offset 5: a batch is damaged");
  const old = kept(one("value"), 5);
  old[16] = 1;
  expect(() => read([old], 5)).toThrow("a batch of format 1, from before Kafka 0.11");
});

/** With the checksum of what is in it now, which reading it wrongly tells. */
function sealed(batch: Buffer): Buffer {
  let crc = 0xffffffff;
  for (const byte of batch.subarray(21)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  batch.writeUInt32BE((crc ^ 0xffffffff) >>> 0, 17);
  return batch;
}

test("batches hold at most 900,000 bytes, in order, keys where Kafka has them, the rest spread", () => {
  const partitions = 4;
  const records = Array.from({ length: 3000 }, (_, index) => ({
    ...(index % 2 === 0 && { key: `key ${index % 50}` }),
    value: String(index).padEnd(2000),
  }));
  const batches = batchesOf("orders", records, { partitions, now: 5, turns: new Turns(0) });
  expect(batches.flatMap((batch) => batch.records)).toHaveLength(3000);
  expect(Math.max(...batches.map(({ bytes }) => bytes))).toBeLessThanOrEqual(900_000);
  for (const { records: own, bytes, partition } of batches) {
    expect(encodeBatch(own, STAMP).length).toBeLessThanOrEqual(bytes + 61);
    for (const { key } of own) if (key) expect(partitionOf(key, partitions)).toBe(partition);
  }
  for (let partition = 0; partition < partitions; partition += 1) {
    const own = batches.filter((batch) => batch.partition === partition).flatMap((batch) => batch.records);
    expect(own.length).toBeGreaterThan(200);
    expect(own.map(({ index }) => index)).toEqual(own.map(({ index }) => index).toSorted((a, b) => a - b));
  }
  const large = batchesOf("orders", [{ value: Buffer.alloc(2_000_000) }, { value: "s" }], {
    ...{ partitions: 1, now: 5 },
    turns: new Turns(0),
  });
  expect(large.map((batch) => batch.records.length)).toEqual([1, 1]);
});

test("small sends without a key go to one partition after the other", () => {
  const turns = new Turns(0);
  const went = Array.from({ length: 8 }, () => batchesOf("orders", [{ value: "v" }], { partitions: 4, now: 5, turns }));
  expect(went.map(([batch]) => batch!.partition)).toEqual([1, 2, 3, 0, 1, 2, 3, 0]);
});

test("a connection is what the address says, and a user what the secret says", () => {
  const address = { kind: "stream", part: "orders", topic: "t", brokers: "a:1,b:2", tls: "true" } as const;
  expect(connectionOf(address)).toEqual({ brokers: ["a:1", "b:2"], tls: true });
  const user = readUser('{"username":"ann","password":"hush","more":1}', "secret");
  expect(connectionOf({ ...address, tls: "false", mechanism: "plain" }, user)).toEqual({
    brokers: ["a:1", "b:2"],
    tls: false,
    user: { username: "ann", password: "hush", mechanism: "plain" },
  });
  expect(connectionOf(address, user).user?.mechanism).toBe("scram-sha-512");
  for (const text of ["hush", "null", "[]", '{"username":"hush"}', '{"username":"","password":"hush"}']) {
    expect(() => readUser(text, "kafka")).toThrow(/^secret "kafka" holds no user: JSON is wanted(?!.*hush)/);
  }
});
