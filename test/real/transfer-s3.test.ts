import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { crc64 } from "../../lib/runtime/crc64.ts";
import { MB, transferOf } from "../handlers/transfer/in-process.ts";
import { noise } from "../handlers/transfer/world.ts";
import { type S3Server, startS3 } from "./servers/s3.ts";
import { transferBuckets } from "./transfer-buckets.ts";

const HOSTILE = ["a+b c", "100%25", "猫 🎬.mp4", "q?x=1&y#z", `"it's" <quoted>&amp;`, "a\\b", "...", "-rf *"];
let store: S3Server;

beforeAll(async () => {
  store = await startS3();
});
afterAll(() => store?.stop());

test.each([
  ["by the store itself, in pieces", true, "older"],
  ["by the store itself, in one request each", true, "always"],
  ["through the workers", false, "older"],
] as const)("a large object and small ones, %s", async (_, isOne, overwrites) => {
  const { uploads, ...links } = await transferBuckets(store, isOne);
  const { from, to } = links;
  const reading = vi.spyOn(from, "stream");
  const bytes = noise(37 * MB + 5);
  await from.put("in/film.mp4", bytes, { contentType: "video/mp4", metadata: { owner: "猫" } });
  for (let n = 0; n < 30; n += 1) await from.put(`in/small/${n}`, `content ${n}`);
  for (const key of HOSTILE) await from.put(`in/${key}`, key);
  const transfer = transferOf(links, { overwrites });
  expect(await transfer({ prefix: "in/", to: "out/" })).toMatchObject({ objects: 31 + HOSTILE.length, kept: 0 });
  const [small, pieces] = [30 + HOSTILE.length, 8];
  expect(reading).toHaveBeenCalledTimes((overwrites === "always" ? 0 : small) + (isOne ? 0 : pieces));
  for (const key of HOSTILE) expect(Buffer.from(await to.get(`out/${key}`)).toString()).toBe(key);
  const head = await to.head("out/film.mp4", { crc64: true });
  expect(head).toMatchObject({ size: bytes.length, contentType: "video/mp4", metadata: { owner: "猫" } });
  expect(head?.crc64).toEqual({ kind: "nvme", value: crc64("nvme", bytes) });
  expect(Buffer.compare(await to.get("out/film.mp4"), bytes)).toBe(0);
  expect(Buffer.from(await to.get("out/small/29")).toString()).toBe("content 29");
  expect(await uploads()).toBe(0);
});

test.each([
  ["by the store itself", true],
  ["through the workers", false],
])("a source that changes is given up, %s", async (_, isOne) => {
  const { uploads, ...links } = await transferBuckets(store, isOne);
  await links.from.put("a", noise(20 * MB));
  const before = (step: string) => step === "copy" && links.from.put("a", noise(20 * MB, 2));
  await expect(transferOf(links)({ object: "a" }, { before })).rejects.toMatchObject({ kind: "conflict" });
  expect(await links.to.head("a")).toBeUndefined();
  expect(await uploads()).toBe(0);
});

test("a worker that ends in the middle is followed by one that goes on", async () => {
  const { uploads, ...links } = await transferBuckets(store, false);
  await links.from.put("a", noise(40 * MB));
  let put = 0;
  const to = new Proxy(links.to, {
    get(target, name) {
      const method = Reflect.get(target, name) as unknown;
      if (typeof method !== "function") return method;
      return async (...args: unknown[]) => {
        if (name === "putPiece" && put++ === 4) throw new Error("killed");
        return (method as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  const transfer = transferOf(links, { workers: 1, buffer: 5 * MB });
  await expect(transfer({ object: "a" }, { links: { to } })).rejects.toThrow("killed");
  put = 100;
  expect(await transfer({ object: "a" }, { links: { to }, run: "two" })).toMatchObject({ objects: 1 });
  expect(put - 100).toBe(4);
  expect(Buffer.compare(await links.to.get("a"), noise(40 * MB))).toBe(0);
  expect(await uploads()).toBe(0);
});
