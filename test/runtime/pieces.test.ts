import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { following, inPieces, inTurn, slices } from "../../lib/runtime/pieces.ts";

const never = new AbortController().signal;

async function all(pieces: AsyncIterable<Uint8Array>): Promise<Buffer[]> {
  const found: Buffer[] = [];
  for await (const piece of pieces) found.push(Buffer.from(piece));
  return found;
}

describe("a stream in pieces", () => {
  test("is all there, in pieces of that size but the last", async () => {
    const chunk = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 30 }),
      fc.string({ minLength: 1, unit: "grapheme" }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(chunk), fc.integer({ min: 1, max: 20 }), async (chunks, size) => {
        const whole = Buffer.concat(chunks.map((one) => Buffer.from(one as Uint8Array)));
        const pieces = await all(inPieces(Readable.from(chunks), size, never));
        expect(Buffer.concat(pieces)).toEqual(whole);
        expect(pieces.slice(0, -1).every(({ length }) => length === size)).toBe(true);
        expect(pieces.at(-1)?.length ?? 1).toBeLessThanOrEqual(size);
        expect(pieces.at(-1)?.length).not.toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  test("ends with its signal, though it is silent and cannot be ended itself", async () => {
    const controller = new AbortController();
    const silent = Readable.from(
      (async function* () {
        yield Buffer.from("a");
        setTimeout(() => controller.abort(new Error("time is up")), 10);
        await new Promise(() => {});
      })(),
    );
    await expect(all(inPieces(silent, 10, controller.signal))).rejects.toThrow("time is up");
    expect(silent.destroyed).toBe(true);
  });

  test("fails as the stream does", async () => {
    const broken = new Readable({ read() {} });
    broken.push("a");
    setTimeout(() => broken.destroy(new Error("the line went dead")), 10);
    await expect(all(inPieces(broken, 10, never))).rejects.toThrow("the line went dead");
  });

  test("goes on behind what was looked at first", async () => {
    const pieces = inPieces(Readable.from([Buffer.from("abc")]), 1, never);
    const first = await pieces.next();
    expect(Buffer.concat(await all(following([first.value!], pieces))).toString()).toBe("abc");
  });
});

describe("in turn", () => {
  test("that many are under way at once, and each has its number", async () => {
    let underWay = 0;
    let most = 0;
    const handed: string[] = [];
    await inTurn(slices(Buffer.from("abcdefg"), 2), 3, async (index, piece) => {
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise((resolve) => setTimeout(resolve, 5));
      handed[index] = Buffer.from(piece).toString();
      underWay -= 1;
    });
    expect(handed).toEqual(["ab", "cd", "ef", "g"]);
    expect(most).toBe(3);
  });

  test("the first failure ends it once nothing is under way; what is not begun stays so", async () => {
    let underWay = 0;
    let gaveUp = 0;
    const begun: number[] = [];
    const work = inTurn(
      slices(Buffer.alloc(100), 1),
      3,
      async (index) => {
        begun.push(index);
        underWay += 1;
        await new Promise((resolve) => setTimeout(resolve, index === 1 ? 1 : 30));
        underWay -= 1;
        if (index === 1) throw new Error("no");
      },
      () => {
        gaveUp += 1;
      },
    );
    await expect(work).rejects.toThrow("no");
    expect(underWay).toBe(0);
    expect(begun).toEqual([0, 1, 2]);
    expect(gaveUp).toBe(1);
  });
});
