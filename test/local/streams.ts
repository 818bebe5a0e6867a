import { fileURLToPath } from "node:url";
import type { LocalClient } from "../../lib/clouds/local/client.ts";
import type { StreamRecord } from "../../lib/runtime/events.ts";
import type { NewRecord } from "../../lib/runtime/ports.ts";
import type { BatchNote, Order } from "./programs/streams-count.ts";
import type { Scene } from "./scene.ts";

export const STREAMS = fileURLToPath(new URL("./programs/streams-stack.ts", import.meta.url));
export const ORDERS = "shop-orders";
export const RESULTS = "shop-results";
export const FAILURES = "shop-failures";
export const PARTITIONS = [0, 1, 2, 3];

export const order = (number: number, more: Partial<Order> = {}): NewRecord => ({
  key: `customer ${number % 17}`,
  value: JSON.stringify({ number, ...more } satisfies Order),
});
export const orders = (from: number, to: number, more: Partial<Order> = {}): readonly NewRecord[] =>
  Array.from({ length: to - from }, (_, index) => order(from + index, more));

export const textOf = ({ value }: StreamRecord): string => Buffer.from(value!).toString();
export const numberOf = (record: StreamRecord): number => (JSON.parse(textOf(record)) as Order).number;

/** All records of a stream, by partition. */
export async function readAll({ streams }: LocalClient, stream: string): Promise<readonly (readonly StreamRecord[])[]> {
  const { partitions } = (await streams.list()).find((one) => one.stream === stream)!;
  return Promise.all(
    partitions.map(async ({ partition, next: end }) => {
      const records: StreamRecord[] = [];
      for (let from = 0; from < end; ) {
        const page = await streams.read(stream, { partition, from, limit: 10_000 });
        records.push(...page.records);
        from = page.next;
      }
      return records;
    }),
  );
}

export const lagOf = async ({ streams }: LocalClient, group: string): Promise<number | undefined> =>
  (await streams.lag(ORDERS)).find((one) => one.group === group)?.lag;

export const batches = (stage: Scene) => stage.notes() as unknown as readonly BatchNote[];
export const done = (notes: readonly BatchNote[]) => notes.filter(({ what }) => what === "done");

/** No batch of a partition may begin while another one of it is in work. */
export function expectOneAtATime(notes: readonly BatchNote[]): void {
  const open = new Map<number, BatchNote>();
  for (const note of notes) {
    if (note.what === "done") open.delete(note.partition);
    else {
      // One that failed has no end; then the same batch begins again, or the one behind it.
      const before = open.get(note.partition);
      const isNext = before && (note.first === before.first || note.first === before.first + before.count);
      if (before && !isNext)
        throw new Error(`${JSON.stringify(note)} began before the end of ${JSON.stringify(before)}`);
      open.set(note.partition, note);
    }
  }
}
