import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { ErrorKind } from "../../lib/runtime/errors.ts";
import type {
  BucketReader,
  BucketRemover,
  BucketWriter,
  Message,
  ObjectInfo,
  QueueReceiver,
  QueueSender,
  Row,
  TableReader,
  TableWriter,
} from "../../lib/runtime/ports.ts";

/** What every suite needs of the cloud under test. */
interface Subject {
  /** Lets that many seconds go by: waits, or moves a clock. */
  advance(seconds: number): Promise<void>;
  close(): Promise<void>;
}

export interface BucketSubject extends Subject {
  /** Empty. */
  readonly bucket: BucketReader & BucketWriter & BucketRemover;
  /** Keys that this cloud refuses though others take them. @default none */
  readonly refuses?: (key: string) => boolean;
  /** Keys that the server which stands in here fails on, though the service takes them. @default none */
  readonly lacks?: (key: string) => boolean;
}

export interface QueueSubject extends Subject {
  /** Empty; `visibility` and `attempts` as below, its dead letters in `deadLetters`. */
  readonly queue: QueueSender & QueueReceiver;
  readonly deadLetters: QueueReceiver;
  /** Seconds. */
  readonly visibility: number;
  readonly attempts: number;
  /** Whether the cloud knows deduplication keys. */
  readonly deduplicates: boolean;
  /** Whether the cloud may remove a message on a receipt of an earlier delivery, too. @default it does not */
  readonly takesOldReceipts?: boolean;
}

export interface TableSubject extends Subject {
  /** Empty. */
  readonly table: TableReader & TableWriter;
  /** Milliseconds since 1970. */
  now(): number;
}

/** Makes a fresh subject for a test, and closes it afterwards. */
function fresh<Made extends Subject>(make: () => Promise<Made>): () => Promise<Made> {
  const subjects: Made[] = [];
  afterEach(async () => {
    for (const subject of subjects.splice(0)) await subject.close();
  });
  return async () => {
    const subject = await make();
    subjects.push(subject);
    return subject;
  };
}

const kind = (expected: ErrorKind) => expect.objectContaining({ kind: expected });
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** Keys that have been known to go wrong somewhere. */
const STRANGE_KEYS = [
  "plain.txt",
  "with space.txt",
  "a+b.txt",
  "100%.txt",
  "%2F.txt",
  "a%2Fb",
  "#hash",
  "question?mark=1&x",
  "folder/",
  "folder/file",
  "folder",
  "double//slash",
  "/leading",
  "..",
  "../../etc/passwd",
  ".",
  "UPPER",
  "upper",
  "quote\"'`$(x)",
  "back\\slash",
  "视频/猫.mp4",
  "🎬🍿.mp4",
  "é", // one code point
  "e\u0301", // two that look the same
  "tab\tand\nnewline",
  "x".repeat(1024),
  "猫".repeat(341),
];

/** Text of any Unicode that fits a key. */
const keys = fc
  .string({ unit: "binary", minLength: 1, maxLength: 200 })
  .filter((key) => Buffer.byteLength(key) <= 1024);

const inByteOrder = (texts: readonly string[]): string[] =>
  [...texts].sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));

/** What every bucket does. */
export function testBucket(make: () => Promise<BucketSubject>): void {
  describe("bucket", () => {
    const subject = fresh(make);

    it("says that a missing object is missing", async () => {
      const { bucket } = await subject();
      expect(await bucket.head("no")).toBeUndefined();
      await expect(bucket.get("no")).rejects.toEqual(kind("not-found"));
      await expect(bucket.stream("no")).rejects.toEqual(kind("not-found"));
      await expect(bucket.file("no")).rejects.toEqual(kind("not-found"));
      await expect(bucket.get("no", { ifMatch: "x" })).rejects.toEqual(kind("not-found"));
      await bucket.remove("no");
    });

    it("gives back what was put, with all that was said of it", async () => {
      const { bucket } = await subject();
      const put = await bucket.put("a.json", "{}", { contentType: "application/json", metadata: { owner: "me" } });
      expect(put).toMatchObject({ key: "a.json", size: 2, contentType: "application/json", metadata: { owner: "me" } });
      expect(new Date(put.modified).toISOString()).toBe(put.modified);
      const head = await bucket.head("a.json");
      expect(head).toEqual({ ...put, modified: head?.modified });
      // Some services answer a put with the time of day only, by the clock of whoever answers.
      expect(Math.abs(Date.parse(head!.modified) - Date.parse(put.modified))).toBeLessThanOrEqual(2000);
      expect(text(await bucket.get("a.json"))).toBe("{}");
      expect((await buffer(await bucket.stream("a.json"))).toString()).toBe("{}");
      expect(await readFile(await bucket.file("a.json"), "utf8")).toBe("{}");
    });

    it("takes bytes, text, streams and files", async () => {
      const { bucket } = await subject();
      const bytes = Buffer.alloc(3_000_000, "0123456789");
      await bucket.put("bytes", bytes);
      await bucket.put("text", "héllo 猫");
      await bucket.put("stream", Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)]));
      const path = join(tmpdir(), `conformance-${process.pid}-${Math.random()}`);
      await writeFile(path, bytes);
      const info = await bucket.putFile("file", path).finally(() => rm(path, { force: true }));
      expect(info.size).toBe(bytes.length);
      expect(Buffer.compare(await bucket.get("bytes"), bytes)).toBe(0);
      expect(text(await bucket.get("text"))).toBe("héllo 猫");
      expect(Buffer.compare(await bucket.get("stream"), bytes)).toBe(0);
      expect(Buffer.compare(await bucket.get("file"), bytes)).toBe(0);
    });

    it("puts nothing when the stream breaks", async () => {
      const { bucket } = await subject();
      await bucket.put("a", "old");
      const broken = Readable.from(
        (async function* () {
          yield Buffer.alloc(100_000);
          throw new Error("the line went dead");
        })(),
      );
      await expect(bucket.put("a", broken)).rejects.toThrow("the line went dead");
      expect(text(await bucket.get("a"))).toBe("old");
    });

    it("keeps empty objects", async () => {
      const { bucket } = await subject();
      expect((await bucket.put("empty", "")).size).toBe(0);
      expect(await bucket.get("empty")).toHaveLength(0);
      expect(await buffer(await bucket.stream("empty"))).toHaveLength(0);
      expect((await bucket.list()).objects).toHaveLength(1);
    });

    it("overwrites and removes", async () => {
      const { bucket } = await subject();
      const first = await bucket.put("a", "one");
      const second = await bucket.put("a", "two");
      expect(second.etag).not.toBe(first.etag);
      expect(text(await bucket.get("a"))).toBe("two");
      expect((await bucket.put("a", "one")).etag).toBe(first.etag);
      await bucket.remove("a");
      expect(await bucket.head("a")).toBeUndefined();
      expect((await bucket.list()).objects).toEqual([]);
    });

    it("goes on with a stream whose object is overwritten and removed", async () => {
      const { bucket } = await subject();
      const bytes = Buffer.alloc(2_000_000, "x");
      await bucket.put("a", bytes);
      const stream = await bucket.stream("a");
      await bucket.put("a", "short");
      await bucket.remove("a");
      expect(await buffer(stream)).toHaveLength(bytes.length);
    });

    it("keeps every key apart from every other", async () => {
      const { bucket, refuses = () => false, lacks = () => false } = await subject();
      for (const key of STRANGE_KEYS.filter(refuses))
        await expect(bucket.put(key, "")).rejects.toEqual(kind("bad-input"));
      const taken = STRANGE_KEYS.filter((key) => !refuses(key) && !lacks(key));
      for (const key of taken) await bucket.put(key, `content of ${key}`);
      for (const key of taken) expect(text(await bucket.get(key))).toBe(`content of ${key}`);
      const { objects } = await bucket.list();
      expect(objects.map(({ key }) => key)).toEqual(inByteOrder(taken));
    });

    it("refuses keys that no cloud takes", async () => {
      const { bucket } = await subject();
      for (const key of ["", "x".repeat(1025), "猫".repeat(342)])
        await expect(bucket.put(key, "")).rejects.toEqual(kind("bad-input"));
    });

    it("reads ranges", async () => {
      const { bucket } = await subject();
      await bucket.put("a", "0123456789");
      expect(text(await bucket.get("a", { range: [0, 0] }))).toBe("0");
      expect(text(await bucket.get("a", { range: [3, 5] }))).toBe("345");
      expect(text(await bucket.get("a", { range: [8, 100] }))).toBe("89");
      expect((await buffer(await bucket.stream("a", { range: [3, 5] }))).toString()).toBe("345");
      await expect(bucket.get("a", { range: [10, 12] })).rejects.toEqual(kind("bad-input"));
      await expect(bucket.get("a", { range: [5, 3] })).rejects.toEqual(kind("bad-input"));
    });

    it("puts and reads on condition", async () => {
      const { bucket } = await subject();
      await expect(bucket.put("a", "x", { ifMatch: "no" })).rejects.toEqual(kind("conflict"));
      const { etag } = await bucket.put("a", "one", { ifNoneMatch: "*" });
      await expect(bucket.put("a", "two", { ifNoneMatch: "*" })).rejects.toEqual(kind("conflict"));
      await bucket.put("a", "two", { ifMatch: etag });
      await expect(bucket.put("a", "three", { ifMatch: etag })).rejects.toEqual(kind("conflict"));
      await expect(bucket.get("a", { ifMatch: etag })).rejects.toEqual(kind("conflict"));
      await expect(bucket.file("a", { ifMatch: etag })).rejects.toEqual(kind("conflict"));
      expect(text(await bucket.get("a"))).toBe("two");
    });

    it("lets one of many conditional puts win", async () => {
      const { bucket } = await subject();
      const puts = Array.from({ length: 10 }, (_, n) => bucket.put("a", `writer ${n}`, { ifNoneMatch: "*" }));
      const results = await Promise.allSettled(puts);
      const winners = results.flatMap((result, n) => (result.status === "fulfilled" ? [n] : []));
      expect(winners).toHaveLength(1);
      expect(text(await bucket.get("a"))).toBe(`writer ${winners[0]}`);
    });

    it("lists in pages, in the keys' byte order", async () => {
      const { bucket, lacks = () => false } = await subject();
      // U+FF5E sorts after U+1F3AC in UTF-16, and before it in UTF-8.
      const names = ["a", "a/", "a/b", "b/1", "b/10", "b/2", "B", "～", "🎬"].filter((name) => !lacks(name));
      for (const name of names) await bucket.put(name, "");
      expect(await listAll(bucket, { limit: 2 })).toEqual(inByteOrder(names));
      expect(await listAll(bucket, { limit: 1, prefix: "b/" })).toEqual(["b/1", "b/10", "b/2"]);
      expect(await listAll(bucket, { prefix: "no" })).toEqual([]);
      const { objects } = await bucket.list({ prefix: "b/", after: "b/1" });
      expect(objects.map(({ key }) => key)).toEqual(["b/10", "b/2"]);
      const whole = await bucket.list({ prefix: "b/", limit: 3 });
      expect(whole.next).toBeUndefined();
    });

    it("behaves as a map from any key to any content", async () => {
      const { bucket, refuses = () => false, lacks = () => false } = await subject();
      const model = new Map<string, string>();
      const key = fc.oneof(
        keys.filter((one) => !refuses(one) && !lacks(one)),
        fc.constantFrom(...["a", "a/b"].filter((one) => !lacks(one))),
      );
      const step = fc.tuple(fc.constantFrom("put", "remove"), key, fc.string());
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
          for (const [verb, key, content] of steps) {
            if (verb === "put") await bucket.put(key, content);
            else await bucket.remove(key);
            if (verb === "put") model.set(key, content);
            else model.delete(key);
          }
          expect(await listAll(bucket, { limit: 7 })).toEqual(inByteOrder([...model.keys()]));
          for (const [, key] of steps) {
            const expected = model.get(key);
            if (expected === undefined) expect(await bucket.head(key)).toBeUndefined();
            else expect(text(await bucket.get(key))).toBe(expected);
          }
        }),
        { numRuns: 25 },
      );
    });
  });
}

async function listAll(
  bucket: BucketReader,
  { limit, prefix = "" }: { limit?: number; prefix?: string },
): Promise<readonly string[]> {
  const found: ObjectInfo[] = [];
  let after: string | undefined;
  do {
    const page = await bucket.list({
      prefix,
      ...(limit !== undefined && { limit }),
      ...(after !== undefined && { after }),
    });
    expect(page.objects.length).toBeLessThanOrEqual(limit ?? 1000);
    found.push(...page.objects);
    after = page.next;
  } while (after !== undefined);
  return found.map(({ key }) => key);
}

/** What every queue does. */
export function testQueue(make: () => Promise<QueueSubject>): void {
  describe("queue", () => {
    const subject = fresh(make);

    it("delivers what was sent, once it is acknowledged never again", async () => {
      const { queue, visibility, advance } = await subject();
      const id = await queue.send("héllo 🎬", { attributes: { colour: "blue" } });
      const [message] = await receiveUntil(queue, 1);
      expect(message).toMatchObject({ id, body: "héllo 🎬", attributes: { colour: "blue" }, receives: 1 });
      expect(new Date(message!.time).toISOString()).toBe(message!.time);
      await queue.acknowledge(message!.receipt);
      await advance(visibility + 1);
      expect(await queue.receive({ limit: 10 })).toEqual([]);
    });

    it("hides a received message, and delivers it again when its visibility ends", async () => {
      const { queue, visibility, advance } = await subject();
      const id = await queue.send("a");
      const [first] = await receiveUntil(queue, 1);
      expect(await queue.receive({ limit: 10 })).toEqual([]);
      await advance(visibility + 1);
      const [second] = await receiveUntil(queue, 1);
      expect(second).toMatchObject({ id, receives: 2 });
      expect(second!.receipt).not.toBe(first!.receipt);
    });

    it("removes nothing on a receipt of an earlier delivery", async () => {
      const { queue, visibility, takesOldReceipts, advance } = await subject();
      if (takesOldReceipts) return;
      const id = await queue.send("a");
      const [first] = await receiveUntil(queue, 1);
      await advance(visibility + 1);
      await receiveUntil(queue, 1);
      await queue.acknowledge(first!.receipt).catch((error) => expect(error).toEqual(kind("conflict")));
      await advance(visibility + 1);
      expect(await receiveUntil(queue, 1)).toMatchObject([{ id, receives: 3 }]);
    });

    it("keeps a message hidden for longer, or gives it back at once", async () => {
      const { queue, visibility, advance } = await subject();
      await queue.send("a");
      const [first] = await receiveUntil(queue, 1);
      await queue.extend(first!.receipt, visibility * 2);
      await advance(visibility + 1);
      expect(await queue.receive({ limit: 10 })).toEqual([]);
      await queue.extend(first!.receipt, 0);
      expect(await receiveUntil(queue, 1)).toMatchObject([{ receives: 2 }]);
    });

    it("waits for a delay", async () => {
      const { queue, advance } = await subject();
      await queue.send("later", { delay: 2 });
      expect(await queue.receive({ limit: 10 })).toEqual([]);
      await advance(3);
      expect(await receiveUntil(queue, 1)).toMatchObject([{ body: "later" }]);
    });

    it("gives no more than asked for, and in the end everything", async () => {
      const { queue } = await subject();
      const sent = Array.from({ length: 30 }, (_, n) => `message ${n}`);
      for (const body of sent) await queue.send(body);
      expect((await queue.receive({ limit: 3 })).length).toBeLessThanOrEqual(3);
      const rest = await receiveUntil(queue, 27);
      expect(new Set(rest.map(({ id }) => id)).size).toBe(27);
    });

    it("moves a message that was received too often to the dead letters", async () => {
      const { queue, deadLetters, visibility, attempts, advance } = await subject();
      await queue.send("poison", { attributes: { colour: "blue" } });
      await queue.send("fine");
      for (let attempt = 1; attempt <= attempts; attempt += 1) {
        const messages = await receiveUntil(queue, attempt === 1 ? 2 : 1);
        const fine = messages.find(({ body }) => body === "fine");
        if (fine) await queue.acknowledge(fine.receipt);
        expect(messages.find(({ body }) => body === "poison")).toMatchObject({ receives: attempt });
        await advance(visibility + 1);
      }
      expect(await queue.receive({ limit: 10 })).toEqual([]);
      const dead = await receiveUntil(deadLetters, 1);
      expect(dead).toMatchObject([{ body: "poison", attributes: { colour: "blue" } }]);
    });

    it("queues a deduplication key once, where it knows them", async () => {
      const { queue, deduplicates } = await subject();
      if (!deduplicates) return;
      const first = await queue.send("a", { deduplication: "key" });
      expect(await queue.send("a", { deduplication: "key" })).toBe(first);
      expect(await queue.send("a", { deduplication: "other" })).not.toBe(first);
      expect(await receiveUntil(queue, 2)).toHaveLength(2);
      expect(await queue.receive({ limit: 10 })).toEqual([]);
    });
  });
}

/** Receives until there are that many: a queue may answer less than it has. */
export async function receiveUntil(queue: QueueReceiver, count: number): Promise<readonly Message[]> {
  const messages: Message[] = [];
  for (let turn = 0; messages.length < count && turn < 50; turn += 1)
    messages.push(...(await queue.receive({ limit: Math.min(10, count - messages.length) })));
  expect(messages).toHaveLength(count);
  return messages;
}

/** What every table does. */
export function testTable(make: () => Promise<TableSubject>): void {
  describe("table", () => {
    const subject = fresh(make);

    it("gives back what was put", async () => {
      const { table } = await subject();
      const value = { text: "猫", list: [1, null, true], nested: { deep: 0.5 } };
      const version = await table.put("p", "s", value);
      expect(await table.get("p", "s")).toEqual({ partition: "p", sort: "s", value, version });
      expect(await table.get("p", "other")).toBeUndefined();
      expect(await table.get("s", "p")).toBeUndefined();
    });

    it("has a new version at every put, also of a row that was removed", async () => {
      const { table } = await subject();
      const versions = [await table.put("p", "s", 1), await table.put("p", "s", 1)];
      await table.remove("p", "s");
      expect(await table.get("p", "s")).toBeUndefined();
      await table.remove("p", "s");
      versions.push(await table.put("p", "s", 1));
      expect(new Set(versions).size).toBe(3);
    });

    it("puts and removes on condition", async () => {
      const { table } = await subject();
      await expect(table.put("p", "s", 0, { ifVersion: "no" })).rejects.toEqual(kind("conflict"));
      const first = await table.put("p", "s", 1, { ifVersion: "absent" });
      await expect(table.put("p", "s", 2, { ifVersion: "absent" })).rejects.toEqual(kind("conflict"));
      const second = await table.put("p", "s", 2, { ifVersion: first });
      await expect(table.put("p", "s", 3, { ifVersion: first })).rejects.toEqual(kind("conflict"));
      await expect(table.remove("p", "s", { ifVersion: first })).rejects.toEqual(kind("conflict"));
      expect((await table.get("p", "s"))?.value).toBe(2);
      await table.remove("p", "s", { ifVersion: second });
      expect(await table.get("p", "s")).toBeUndefined();
    });

    it("counts right when many add at once", async () => {
      const { table } = await subject();
      await table.put("p", "count", 0);
      const add = async (): Promise<void> => {
        for (;;) {
          const { value, version } = (await table.get<number>("p", "count"))!;
          try {
            await table.put("p", "count", value + 1, { ifVersion: version });
            return;
          } catch (error) {
            expect(error).toEqual(kind("conflict"));
          }
        }
      };
      await Promise.all(Array.from({ length: 10 }, add));
      expect((await table.get("p", "count"))?.value).toBe(10);
    });

    it("queries one partition by prefix, in byte order and in pages", async () => {
      const { table } = await subject();
      const sorts = ["a", "a#1", "a#10", "a#2", "b", "～", "🎬"];
      for (const sort of sorts) await table.put("p", sort, sort);
      await table.put("other", "a#3", "");
      expect(await queryAll(table, "p", { limit: 2 })).toEqual(inByteOrder(sorts));
      expect(await queryAll(table, "p", { prefix: "a#", limit: 1 })).toEqual(["a#1", "a#10", "a#2"]);
      expect(await queryAll(table, "none", {})).toEqual([]);
      const { rows, next } = await table.query("p", { prefix: "a#", after: "a#10" });
      expect(rows.map(({ sort }) => sort)).toEqual(["a#2"]);
      expect(next).toBeUndefined();
      // Where to go on need not be a row: that is how what lies between is skipped.
      const skipped = await table.query("p", { after: "a#~", limit: 2 });
      expect(skipped.rows.map(({ sort }) => sort)).toEqual(["b", "～"]);
      expect((await table.query("p", { prefix: "a#", after: "a#11" })).rows.map(({ sort }) => sort)).toEqual(["a#2"]);
    });

    it("never answers an expired row", async () => {
      const { table, now, advance } = await subject();
      const expires = now() + 2000;
      await table.put("p", "short", 1, { expires });
      await table.put("p", "long", 2, { expires: expires + 3_600_000 });
      expect(await table.get("p", "short")).toMatchObject({ value: 1, expires });
      await advance(3);
      expect(await table.get("p", "short")).toBeUndefined();
      expect(await queryAll(table, "p", {})).toEqual(["long"]);
      await table.put("p", "short", 3, { ifVersion: "absent" });
      expect(await table.get("p", "short")).toMatchObject({ value: 3 });
    });

    it("refuses keys that no cloud takes", async () => {
      const { table } = await subject();
      for (const key of ["", "x".repeat(1025)]) {
        await expect(table.put(key, "s", 1)).rejects.toEqual(kind("bad-input"));
        await expect(table.put("p", key, 1)).rejects.toEqual(kind("bad-input"));
      }
    });
  });
}

async function queryAll(
  table: TableReader,
  partition: string,
  { limit, prefix = "" }: { limit?: number; prefix?: string },
): Promise<readonly string[]> {
  const found: Row[] = [];
  let after: string | undefined;
  do {
    const page = await table.query(partition, {
      prefix,
      ...(limit !== undefined && { limit }),
      ...(after !== undefined && { after }),
    });
    found.push(...page.rows);
    after = page.next;
  } while (after !== undefined);
  return found.map(({ sort }) => sort);
}
