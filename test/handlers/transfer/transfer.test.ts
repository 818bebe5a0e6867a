import { describe, expect, it } from "vitest";
import { pieceOf } from "../../../lib/handlers/transfer/plan.ts";
import { readRequest } from "../../../lib/handlers/transfer/settings.ts";
import { crc64 } from "../../../lib/runtime/crc64.ts";
import { MB } from "./in-process.ts";
import { noise, world } from "./world.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe("one object", () => {
  it("is copied in pieces by several workers, with its type and metadata", async () => {
    const { from, to, transfer, uploads, messages } = world();
    const bytes = noise(23 * MB + 7);
    const described = { contentType: "video/mp4", metadata: { owner: "猫" } };
    await from.put("in/a.mp4", bytes, described);
    expect(await transfer({ object: "in/a.mp4" })).toEqual({ objects: 1, bytes: bytes.length, kept: 0 });
    const made = await to.head("in/a.mp4", { crc64: true });
    expect(made).toMatchObject({ size: bytes.length, ...described });
    expect(made?.crc64).toEqual({ kind: "nvme", value: crc64("nvme", bytes) });
    expect(Buffer.compare(await to.get("in/a.mp4"), bytes)).toBe(0);
    expect(uploads()).toBe(0);
    expect(messages.at(-1)).toMatch(/^[01]\.\d\d [\d.]+ MB of [\d.]+ MB, .*\/s, \d+ s left$/);
  });

  it.each([0, 1, 5 * MB - 1, 5 * MB, 5 * MB + 1, 10 * MB])("of %i bytes", async (size) => {
    const { from, to, transfer } = world();
    await from.put("a", noise(size));
    expect(await transfer({ object: "a", to: "b" })).toEqual({ objects: 1, bytes: size, kept: 0 });
    expect(Buffer.compare(await to.get("b"), noise(size))).toBe(0);
  });

  it("has to be there, and to be the one that was meant", async () => {
    const { from, transfer } = world();
    await expect(transfer({ object: "a" })).rejects.toMatchObject({ kind: "not-found" });
    await from.put("a", "one");
    await expect(transfer({ object: "a", etag: "another" })).rejects.toMatchObject({ kind: "conflict" });
  });

  it("has pieces of whole megabytes, and never more than 10,000", () => {
    expect(pieceOf(20 * 2 ** 30, 16 * MB)).toBe(16 * MB);
    for (const size of [150 * 2 ** 30, 5 * 2 ** 40, 48 * 2 ** 40]) {
      const piece = pieceOf(size, 16 * MB);
      expect(piece % MB).toBe(0);
      expect(Math.ceil(size / piece)).toBeLessThanOrEqual(9000);
    }
  });
});

describe("many objects", () => {
  it("of a prefix are copied, small ones in groups", async () => {
    const { from, to, transfer } = world();
    for (let n = 0; n < 301; n += 1) await from.put(`in/${n}`, `content ${n}`, { metadata: { n: String(n) } });
    await from.put("in/large", noise(12 * MB));
    await from.put("other", "stays");
    expect(await transfer({ prefix: "in/", to: "out/" })).toMatchObject({ objects: 302, kept: 0 });
    for (const n of [0, 150, 300]) {
      expect(text(await to.get(`out/${n}`))).toBe(`content ${n}`);
      expect((await to.head(`out/${n}`))?.metadata).toEqual({ n: String(n) });
    }
    expect((await to.list({ prefix: "out/" })).objects).toHaveLength(302);
    expect(await to.head("other")).toBeUndefined();
  });

  it("of a manifest are copied where it says", async () => {
    const { from, to, transfer } = world();
    await from.put("a", "A");
    await from.put("b c", noise(6 * MB));
    await from.put("d", "D");
    const lines = ["a", "", JSON.stringify({ object: "b c", to: "elsewhere" })];
    await from.put("list", `${lines.join("\r\n")}\n`);
    expect(await transfer({ manifest: "list", to: "copies/" })).toMatchObject({ objects: 2 });
    expect((await to.list()).objects.map(({ key }) => key)).toEqual(["copies/a", "elsewhere"]);
    await from.put("wrong", '{ "to": "x" }');
    await expect(transfer({ manifest: "wrong" })).rejects.toThrow(/^line 1 of wrong is a key or/);
  });

  it("may be none", async () => {
    const { transfer } = world();
    expect(await transfer({ prefix: "none/" })).toEqual({ objects: 0, bytes: 0, kept: 0 });
  });

  it("never go to themselves, or where they would be copied again", async () => {
    const { from, transfer } = world();
    await from.put("in/a", "x");
    const links = { to: from };
    await expect(transfer({ prefix: "in/" }, { links })).rejects.toThrow(/say another "to"/);
    await expect(transfer({ object: "in/a" }, { links })).rejects.toThrow(/copied to itself/);
    expect(await transfer({ prefix: "in/", to: "out/" }, { links })).toMatchObject({ objects: 1 });
  });

  it("are copied though one of them changes, which is said", async () => {
    const { from, to, state, transfer, uploads } = world();
    for (const key of ["in/a", "in/b", "in/c"]) await from.put(key, noise(6 * MB));
    await from.put("in/small", "one");
    const before = async (step: string) => {
      if (step !== "copy") return;
      await from.put("in/b", noise(6 * MB, 2));
      await from.put("in/small", "two");
    };
    const moving = transfer({ prefix: "in/" }, { before });
    await expect(moving).rejects.toMatchObject({ kind: "conflict", message: /^2 objects were not copied: / });
    expect((await to.list()).objects.map(({ key }) => key)).toEqual(["in/a", "in/c"]);
    expect(uploads()).toBe(0);
    const failures = JSON.parse(text(await state.get("runs/run/failures.json"))) as readonly object[];
    expect(failures).toHaveLength(2);
    expect(failures).toContainEqual(expect.objectContaining({ key: "in/b", kind: "conflict" }));
    expect(failures).toContainEqual(expect.objectContaining({ key: "in/small", kind: "conflict" }));
    expect(await transfer({ prefix: "in/" }, { run: "again" })).toMatchObject({ objects: 2, kept: 2 });
  });
});

describe("what is in the target", () => {
  it("stays if it is newer, is overwritten if it is older", async () => {
    const { from, to, transfer } = world();
    await to.put("a", "before");
    await pause();
    for (const [key, bytes] of [
      ["a", noise(6 * MB)],
      ["b", noise(6 * MB)],
      ["s", Buffer.from("x")],
    ] as const)
      await from.put(key, bytes);
    await pause();
    await to.put("b", "newer");
    await to.put("s", "newer");
    expect(await transfer({ prefix: "" })).toMatchObject({ objects: 1, kept: 2 });
    expect((await to.head("a"))?.size).toBe(6 * MB);
    expect(text(await to.get("b"))).toBe("newer");
    expect(text(await to.get("s"))).toBe("newer");
    expect(await transfer({ prefix: "" }, { run: "again" })).toMatchObject({ objects: 0, kept: 3 });
  });

  it("is overwritten always, or never, if that is said", async () => {
    for (const [overwrites, expected] of [
      ["always", { objects: 2, kept: 0 }],
      ["never", { objects: 0, kept: 2 }],
    ] as const) {
      const { from, to, transfer } = world({ overwrites });
      await from.put("a", noise(6 * MB));
      await from.put("s", "small");
      await pause();
      await to.put("a", "newer");
      await to.put("s", "newer");
      expect(await transfer({ prefix: "" })).toMatchObject(expected);
    }
  });

  it("is nobody's copy because it came with the same size, or even the same content", async () => {
    for (const content of ["newer", "small"]) {
      const { from, to, transfer } = world();
      await from.put("s", "small");
      await pause();
      const before = (step: string) => step === "copy" && to.put("s", content);
      expect(await transfer({ prefix: "" }, { before })).toEqual({ objects: 0, bytes: 0, kept: 1 });
      expect(text(await to.get("s"))).toBe(content);
    }
  });

  it("stays if it comes while the source is copied", async () => {
    const { from, to, transfer, uploads } = world();
    await from.put("a", noise(6 * MB));
    const before = (step: string) => step === "commit" && to.put("a", "meanwhile");
    await expect(transfer({ object: "a" }, { before })).rejects.toMatchObject({ kind: "conflict" });
    expect(text(await to.get("a"))).toBe("meanwhile");
    expect(uploads()).toBe(0);
  });
});

describe("a request", () => {
  it.each([
    [undefined, /names one of object, prefix and manifest/],
    [{}, /names one of/],
    [{ object: "a", prefix: "b" }, /names one of/],
    [{ object: "" }, /a key is not empty/],
    [{ objects: "a" }, /a request has object, prefix, manifest, etag, to/],
    [{ object: 1 }, /all of them text, got 1/],
  ])("that is none is refused: %j", (request, message) => {
    expect(() => readRequest(request)).toThrow(message);
  });
});

/** Later than what was, as stores see it. */
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
