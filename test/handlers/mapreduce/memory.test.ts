import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("capped.ts", import.meta.url));

async function capped(megabytes: number) {
  const args = ["--max-old-space-size=80", PROGRAM, String(megabytes)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Readonly<Record<"records" | "pairs" | "keys" | "memory", number>>;
}

test("memory is flat: four times as much is mapped and reduced under the same cap", { timeout: 60_000 }, async () => {
  const small = await capped(32);
  const large = await capped(128);
  expect(large).toMatchObject({ records: (128 * 2 ** 20) / 128, pairs: (128 * 2 ** 20) / 128, keys: 32_768 });
  expect(large.memory).toBeLessThan(small.memory * 1.5);
  expect(large.memory).toBeLessThan(400);
});
