import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../lib/runtime/clock.ts";
import { MillraceError } from "../../../lib/runtime/errors.ts";
import type { BucketReader, BucketUploader, BucketWriter } from "../../../lib/runtime/ports.ts";
import { MB } from "./in-process.ts";
import { noise, world } from "./world.ts";

describe("faults", () => {
  it("a source that changes at any moment is never mixed, and never goes unnoticed", async () => {
    const [one, other] = [noise(11 * MB), noise(11 * MB, 2)];
    let noticed = 0;
    for (let moment = 0; moment <= 8; moment += 1) {
      const { from, to, transfer } = world({ workers: 2 });
      await from.put("a", one);
      let asked = 0;
      const touch = async () => {
        if (asked++ === moment) await from.put("a", other);
      };
      const links = { from: onEveryCall(from, touch) };
      const outcome = await transfer({ object: "a" }, { links }).then(
        () => "copied",
        (error: MillraceError) => error.kind,
      );
      const made = (await to.head("a")) && (await to.get("a"));
      if (outcome === "copied") {
        // Before it was pinned, or after the last look at it.
        expect(made && [one, other].some((bytes) => Buffer.compare(made, bytes) === 0)).toBe(true);
      } else {
        noticed += 1;
        expect(outcome).toBe("conflict");
        expect(made).toBeUndefined();
      }
    }
    expect(noticed).toBeGreaterThanOrEqual(4);
  });

  it("a line that breaks is tried again, and one that stays broken fails", async () => {
    const { from, to, transfer } = world();
    const bytes = noise(17 * MB);
    await from.put("a", bytes);
    let breaks = 3;
    const broken: BucketReader = {
      ...from,
      stream: async (key, options) => {
        const stream = await from.stream(key, options);
        return breaks-- > 0 ? cut(stream, 100_000) : stream;
      },
    };
    expect(await transfer({ object: "a" }, { links: { from: broken } })).toMatchObject({ objects: 1 });
    expect(Buffer.compare(await to.get("a"), bytes)).toBe(0);
    breaks = Number.POSITIVE_INFINITY;
    await from.put("b", bytes);
    await expect(transfer({ object: "b" }, { links: { from: broken }, run: "two" })).rejects.toMatchObject({
      kind: "unavailable",
    });
    expect(await to.head("b")).toBeUndefined();
  });

  it("what stops in the middle goes on with the pieces that are there", async () => {
    const { from, to, transfer } = world({ workers: 2 });
    await from.put("a", noise(40 * MB));
    let put = 0;
    const counting: typeof to = {
      ...to,
      putPiece: async (...args) => {
        if (put === 5) throw new Error("killed");
        put += 1;
        return to.putPiece(...args);
      },
    };
    await expect(transfer({ object: "a" }, { links: { to: counting } })).rejects.toThrow("killed");
    expect(put).toBe(5);
    put = 100;
    expect(await transfer({ object: "a" }, { links: { to: counting }, run: "another" })).toMatchObject({ objects: 1 });
    // The others, and what the other worker was copying just then.
    expect(put - 100).toBeGreaterThanOrEqual(3);
    expect(put - 100).toBeLessThanOrEqual(3 + 1);
    expect(Buffer.compare(await to.get("a"), noise(40 * MB))).toBe(0);
  });

  it("an answer that is lost changes nothing", async () => {
    const { from, to, transfer, uploads } = world();
    await from.put("a", noise(12 * MB));
    const lost = new Set(["putPiece", "completeUpload"]);
    const forgetful = onEveryAnswer(to, (method) => {
      if (lost.delete(method)) throw new MillraceError("unavailable", `the answer to ${method} was lost`);
    });
    expect(await transfer({ object: "a" }, { links: { to: forgetful } })).toMatchObject({ objects: 1 });
    expect(lost.size).toBe(0);
    expect(uploads()).toBe(0);
  });

  it("a transfer that is done again changes nothing", async () => {
    const { from, to, transfer } = world();
    await from.put("a", noise(12 * MB));
    await from.put("s", "small");
    const first = await transfer({ prefix: "" });
    const made = await to.head("a");
    expect(first).toEqual({ objects: 2, bytes: 12 * MB + 5, kept: 0 });
    expect(await transfer({ prefix: "" }, { run: "again" })).toEqual({ objects: 0, bytes: 0, kept: 2 });
    expect(await to.head("a")).toEqual(made);
  });

  it("a bit that falls over on the way is found by the source's sum", async () => {
    const { from, to, transfer, uploads } = world();
    const bytes = noise(12 * MB);
    const upload = await from.beginUpload("a");
    const piece = await from.putPiece(upload, 1, bytes);
    await from.completeUpload(upload, [piece]);
    const flipping: BucketReader = {
      ...from,
      stream: async (key, options) => flip(await from.stream(key, options), options?.range?.[0] === 5 * MB),
    };
    const moving = transfer({ object: "a" }, { links: { from: flipping } });
    await expect(moving).rejects.toMatchObject({ kind: "failed", message: /has the CRC [0-9a-f]{16}, and its copy/ });
    expect(await to.head("a")).toBeUndefined();
    expect(uploads()).toBe(0);
  });

  it("so it is for small objects, by every store's sums", async () => {
    const { from, to, transfer } = world();
    const upload = await from.beginUpload("s");
    await from.completeUpload(upload, [await from.putPiece(upload, 1, noise(MB))]);
    let flips = 2;
    const flipping: BucketReader = {
      ...from,
      stream: async (key, options) => flip(await from.stream(key, options), flips-- > 0),
    };
    expect(await transfer({ object: "s" }, { links: { from: flipping } })).toMatchObject({ objects: 1 });
    expect(Buffer.compare(await to.get("s"), noise(MB))).toBe(0);
    flips = Number.POSITIVE_INFINITY;
    const moving = transfer({ object: "s", to: "other" }, { links: { from: flipping }, run: "two" });
    await expect(moving).rejects.toMatchObject({ kind: "failed", message: /has the CRC [0-9a-f]{16}, and its copy/ });
    expect(await to.head("other")).toBeUndefined();
  });

  it("small objects that are there are not copied again, even where all is overwritten", async () => {
    const { from, to, transfer } = world({ workers: 1, overwrites: "always" });
    for (let n = 0; n < 40; n += 1) await from.put(`in/${n}`, `content ${n}`);
    let [put, isKilled] = [0, false];
    const dying: typeof to = {
      ...to,
      put: async (...args) => {
        if (put >= 25 && !isKilled) {
          isKilled = true;
          throw new MillraceError("interrupted", "killed");
        }
        const made = await to.put(...args);
        put += 1;
        if (put === 10) throw new MillraceError("unavailable", "the answer was lost");
        return made;
      },
    };
    expect(await transfer({ prefix: "in/" }, { links: { to: dying } })).toMatchObject({ objects: 40, kept: 0 });
    expect(isKilled).toBe(true);
    expect(put).toBe(40);
  });

  it("objects that are too large together are copied one after the other", async () => {
    const { from, transfer } = world({ workers: 1, buffer: 5 * MB });
    for (let n = 0; n < 6; n += 1) await from.put(`in/${n}`, noise(3 * MB));
    let [now, most] = [0, 0];
    const counting: BucketReader = {
      ...from,
      stream: async (key, options) => {
        const stream = await from.stream(key, options);
        most = Math.max(most, ++now);
        return stream.once("close", () => {
          now -= 1;
        });
      },
    };
    expect(await transfer({ prefix: "in/" }, { links: { from: counting } })).toMatchObject({ objects: 6 });
    expect(most).toBe(1);
  });

  it("a store that answers more than it was asked for is not believed", async () => {
    const { from, to, transfer } = world();
    await from.put("a", noise(11 * MB));
    const whole: BucketReader = { ...from, stream: (key) => from.stream(key) };
    const moving = transfer({ object: "a" }, { links: { from: whole } });
    await expect(moving).rejects.toMatchObject({ kind: "unavailable", message: /had not the \d+ bytes/ });
    expect(await to.head("a")).toBeUndefined();
  });

  it("a key that the target does not take is given up, and the others are copied", async () => {
    const { from, to, transfer, uploads } = world();
    const [long, longer] = ["x".repeat(1000), "y".repeat(1000)];
    await from.put(`in/${long}`, noise(6 * MB));
    await from.put(`in/${longer}`, "small");
    await from.put("in/a", noise(6 * MB));
    const moving = transfer({ prefix: "in/", to: `${"out".repeat(10)}/` });
    await expect(moving).rejects.toMatchObject({ kind: "bad-input", message: /^2 objects were not copied: / });
    expect((await to.list()).objects.map(({ key }) => key)).toEqual([`${"out".repeat(10)}/a`]);
    expect(uploads()).toBe(0);
  });

  it("two runs for one object share its upload, and both succeed", async () => {
    const { from, to, transfer, uploads } = world();
    await from.put("a", noise(30 * MB));
    let begun = 0;
    const count = (method: string) => {
      if (method === "beginUpload") begun += 1;
    };
    const links = { to: onEveryAnswer(to, count) };
    const runs = ["one", "two", "three"].map((run) => transfer({ object: "a" }, { links, run }));
    for (const result of await Promise.all(runs)) expect(result.objects).toBe(1);
    expect(begun).toBeLessThanOrEqual(3);
    expect(Buffer.compare(await to.get("a"), noise(30 * MB))).toBe(0);
    expect(uploads()).toBe(0);
  });

  it("a worker that has no time left says so, and goes on when it is called again", async () => {
    const { from, to, transfer } = world({ workers: 1, buffer: 5 * MB });
    await from.put("a", noise(30 * MB));
    let now = Date.now();
    const clock = { ...systemClock, now: () => now };
    let puts = 0;
    const slow: typeof to = {
      ...to,
      putPiece: async (...args) => {
        now += 30_000;
        puts += 1;
        return to.putPiece(...args);
      },
    };
    expect(await transfer({ object: "a" }, { links: { to: slow }, clock, time: 120_000 })).toMatchObject({
      objects: 1,
    });
    expect(puts).toBe(6);
  });

  it("a worker that is stopped ends with the signal's reason", async () => {
    const { from, to, transfer } = world();
    await from.put("a", noise(30 * MB));
    const stopping = new AbortController();
    const links: { to: BucketReader & BucketWriter & BucketUploader } = {
      to: {
        ...to,
        putPiece: async (...args) => {
          stopping.abort(new MillraceError("stopped", "enough"));
          return to.putPiece(...args);
        },
      },
    };
    await expect(transfer({ object: "a" }, { links, signal: stopping.signal })).rejects.toMatchObject({
      kind: "stopped",
    });
    expect(await to.head("a")).toBeUndefined();
  });
});

function cut(stream: Readable, length: number): Readable {
  return Readable.from(
    (async function* () {
      let left = length;
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        yield chunk.subarray(0, left);
        left -= chunk.length;
        if (left <= 0) throw Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
      }
    })(),
  );
}

function flip(stream: Readable, isHit: boolean): Readable {
  if (!isHit) return stream;
  return Readable.from(
    (async function* () {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const changed = Buffer.from(chunk);
        changed[0]! ^= 1;
        yield changed;
      }
    })(),
  );
}

/** A bucket that calls back before each of its methods. */
const onEveryCall = <Port extends object>(port: Port, before: () => Promise<void>): Port =>
  wrapped(port, async (_, work) => {
    await before();
    return work();
  });

/** A bucket that calls back after each of its methods, which may throw in place of the answer. */
const onEveryAnswer = <Port extends object>(port: Port, after: (method: string) => void): Port =>
  wrapped(port, async (method, work) => {
    const answer = await work();
    after(method);
    return answer;
  });

const wrapped = <Port extends object>(
  port: Port,
  around: (method: string, work: () => Promise<unknown>) => Promise<unknown>,
): Port =>
  Object.fromEntries(
    Object.entries(port).map(([name, value]) => [
      name,
      typeof value === "function"
        ? (...args: unknown[]) => around(name, async () => (value as (...args: unknown[]) => unknown)(...args))
        : value,
    ]),
  ) as Port;
