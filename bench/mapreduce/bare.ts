/** The same without anything around it, as fast as plain Node goes: `bare.ts <job> <file>`. Says how many keys. */
import { openSync, readSync } from "node:fs";
import type { JobName } from "./jobs.ts";

const [job, file] = process.argv.slice(2) as [JobName, string];
const begun = process.cpuUsage();
const began = performance.now();
const BLOCK = 8 * 2 ** 20;
const buffer = Buffer.allocUnsafe(BLOCK + 2 ** 20);
const sums = new Map<string, number>();
const add = (key: string, value: number) => sums.set(key, (sums.get(key) ?? 0) + value);
const handle = openSync(file, "r");
for (let held = 0; ; ) {
  const read = readSync(handle, buffer, held, BLOCK, null);
  if (read === 0) break;
  const end = buffer.lastIndexOf("\n", held + read - 1) + 1;
  const text = buffer.toString("utf8", 0, end);
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf("\n", at);
    const line = text.slice(at, newline);
    at = newline + 1;
    if (job === "words") {
      for (const word of line.split(" ")) add(word, 1);
    } else {
      const { user, amount } = JSON.parse(line) as { readonly user: string; readonly amount: number };
      add(user, amount);
    }
  }
  buffer.copy(buffer, 0, end, held + read);
  held = held + read - end;
}
const { user, system } = process.cpuUsage(begun);
const wall = (performance.now() - began) / 1000;
process.stdout.write(JSON.stringify({ keys: sums.size, cpu: (user + system) / 1e6, wall }));
