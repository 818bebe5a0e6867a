import { open, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { crc64 } from "../../lib/runtime/crc64.ts";
import { MB } from "../handlers/transfer/in-process.ts";
import { noise, world } from "../handlers/transfer/world.ts";

const GB = 2 ** 30;
/** What may be added to the process: pieces under way, and what is not collected yet. */
const ROOM = 512 * MB;
const BUFFER = 128 * MB;

/** A file of that size that is mostly holes, with something at its beginning, its end and in between. */
async function sparseFile(size: number): Promise<string> {
  const path = join(tmpdir(), `millrace-sparse-${process.pid}-${size}`);
  onTestFinished(() => rm(path, { force: true }));
  await writeFile(path, "");
  await truncate(path, size);
  const handle = await open(path, "r+");
  for (const position of [0, Math.floor(size / 3), size - MB]) await handle.write(noise(MB, 3), 0, MB, position);
  await handle.close();
  return path;
}

test.each([5, 20])(
  "an object of %i GB goes through in flat memory, and is what it was",
  async (gigabytes) => {
    const { from, to, transfer, uploads, messages } = world({ piece: 16 * MB, workers: 2, buffer: BUFFER });
    const size = gigabytes * GB + 12_345;
    await from.putFile("large", await sparseFile(size));
    const source = await from.head("large");
    const before = process.memoryUsage.rss();
    let most = before;
    const timer = setInterval(() => {
      most = Math.max(most, process.memoryUsage.rss());
    }, 50);
    const begun = performance.now();
    const result = await transfer({ object: "large" }).finally(() => clearInterval(timer));
    const seconds = (performance.now() - begun) / 1000;
    console.log(
      `${gigabytes} GB in ${seconds.toFixed(0)} s, ${(size / MB / seconds).toFixed(0)} MB/s; ${Math.round((most - before) / MB)} MB of memory; ${messages.at(-1)}`,
    );
    expect(result).toEqual({ objects: 1, bytes: size, kept: 0 });
    const made = await to.head("large", { crc64: true });
    // An etag here is the SHA-256 of the content.
    expect(made).toMatchObject({ size, etag: source!.etag });
    expect(made?.crc64?.kind).toBe("nvme");
    const [first, end] = [
      await to.get("large", { range: [0, MB - 1] }),
      await to.get("large", { range: [size - MB, size - 1] }),
    ];
    expect(crc64("nvme", first)).toBe(crc64("nvme", noise(MB, 3)));
    expect(crc64("nvme", end)).toBe(crc64("nvme", noise(MB, 3)));
    expect(most - before).toBeLessThan(2 * BUFFER + ROOM);
    expect(uploads()).toBe(0);
  },
  1_800_000,
);
