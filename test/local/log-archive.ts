import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { archivedLines } from "../../lib/client/archived-lines.ts";
import type { LocalClient } from "../../lib/clouds/local/client.ts";
import type { NewRecord } from "../../lib/runtime/ports.ts";

export const program = fileURLToPath(new URL("./programs/log-archive-stack.ts", import.meta.url));
export const project = fileURLToPath(new URL("../..", import.meta.url));
export const LINES = "logs-lines";
export const ARCHIVE = "logs-archive";

/** Lines of a few applications, one of which has most of them; each says which one it is. */
export const lines = (from: number, to: number): NewRecord[] =>
  Array.from({ length: to - from }, (_, index) => {
    const number = from + index;
    const app = number % 3 === 0 ? `app-${number % 5}` : "orders";
    return { key: `${number % 11}`, value: JSON.stringify({ app, number, message: "a line of some length" }) };
  });

/** What each partition got, in order. */
async function sent(cloud: LocalClient): Promise<readonly (readonly number[])[]> {
  const [info] = (await cloud.streams.list()).filter(({ stream }) => stream === LINES);
  return Promise.all(
    info!.partitions.map(async ({ partition }) => {
      const { records } = await cloud.streams.read(LINES, { partition, limit: 10_000 });
      return records.map(({ value }) => numberOf(Buffer.from(value!).toString()));
    }),
  );
}

const numberOf = (line: string): number => (JSON.parse(line) as { number: number }).number;

/** Every line in the bucket, by `zcat`, in the order of the keys; and that each lies with its application. */
async function archived(cloud: LocalClient): Promise<readonly number[]> {
  const bucket = cloud.buckets.bucket(ARCHIVE);
  const { objects } = await bucket.list();
  const numbers: number[] = [];
  for (const { key } of objects) {
    const input = await bucket.get(key);
    execFileSync("gunzip", ["-t"], { input });
    for (const line of execFileSync("zcat", { input, maxBuffer: 2 ** 28 })
      .toString()
      .trimEnd()
      .split("\n")) {
      expect(key).toContain(`app=${(JSON.parse(line) as { app: string }).app}/`);
      numbers.push(numberOf(line));
    }
  }
  return numbers;
}

/** Once each, and what is of one application and partition in its order. */
export async function expectAll(cloud: LocalClient): Promise<void> {
  const [partitions, found] = [await sent(cloud), await archived(cloud)];
  const ascending = (list: readonly number[]) => [...list].sort((one, other) => one - other);
  expect(ascending(found)).toEqual(ascending(partitions.flat()));
  const placeOf = new Map(
    partitions.flatMap((list, partition) => list.map((number, at) => [number, { partition, at }])),
  );
  const last = new Map<string, number>();
  for (const number of found) {
    const { partition, at } = placeOf.get(number)!;
    const app = number % 3 === 0 ? number % 5 : "orders";
    expect(at).toBeGreaterThan(last.get(`${app} ${partition}`) ?? -1);
    last.set(`${app} ${partition}`, at);
  }
}

export const lagOf = async (cloud: LocalClient): Promise<number> =>
  (await cloud.streams.lag(LINES)).find(({ group }) => group === "logs-append")?.lag ?? 0;

/** Lines in the bucket. */
export async function uploaded(cloud: LocalClient): Promise<number> {
  const bucket = cloud.buckets.bucket(ARCHIVE);
  let count = 0;
  for (const folder of ["orders", ...[0, 1, 2, 3, 4].map((number) => `app-${number}`)]) {
    for await (const _ of archivedLines({ bucket, prefix: "" }, { folder })) count += 1;
  }
  return count;
}
