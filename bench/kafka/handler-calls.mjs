/**
 * Imports the bundle of a handler and gives it batches: prints the milliseconds of the import with the first batch, and
 * of each batch after it, by its records. Plain JavaScript: Node 20 runs it too.
 */
import { pathToFileURL } from "node:url";

const [file, text] = process.argv.slice(2);
const { stream, links, value, batches } = JSON.parse(text);
let next = 0;
const batchOf = (count) => {
  const first = next;
  next += count;
  const records = Array.from({ length: count }, (_, index) => {
    const offset = first + index;
    const key = Buffer.from(`customer-${offset % 9973}`);
    return { partition: 0, offset, timestamp: 1_000_000, key, value: Buffer.from(value), headers: {} };
  });
  return { type: "stream.consumed", id: `${stream}-0-${first}`, stream, records, time: "2026-01-01T00:00:00.000Z" };
};

const firstBatch = batchOf(1);
const began = performance.now();
const { handler } = await import(pathToFileURL(file).href);
await handler(firstBatch, links);
const cold = performance.now() - began;

const warm = [];
for (const count of batches) {
  const batch = batchOf(count);
  const begun = performance.now();
  await handler(batch, links);
  warm.push({ count, milliseconds: performance.now() - begun });
}
console.log(JSON.stringify({ cold, warm }));
process.exit(0);
