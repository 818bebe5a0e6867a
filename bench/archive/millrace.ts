/** Our handler over batches, with a table in memory: `millrace.ts <lines> <folder> <codec> <level>`. */
import { archive } from "../../lib/handlers/archive/archive.ts";
import { systemClock } from "../../lib/runtime/clock.ts";
import { MillraceError } from "../../lib/runtime/errors.ts";
import type { Row, TableReader, TableWriter } from "../../lib/runtime/ports.ts";
import type { Codec } from "../../lib/shared/archive/member.ts";
import { batches, PARTITIONS } from "./lines.ts";
import { report } from "./report.ts";

const [count, folder, codec, level] = process.argv.slice(2) as [string, string, Codec, string];

/** Rows as JSON, as any table has them; what a cloud's takes on top is not ours. */
class MemoryTable implements TableReader, TableWriter {
  readonly #rows = new Map<string, { readonly text: string; readonly version: string }>();
  calls = 0;

  async get<Value>(partition: string, sort: string): Promise<Row<Value> | undefined> {
    this.calls += 1;
    const found = this.#rows.get(`${partition}\0${sort}`);
    return found && { partition, sort, value: JSON.parse(found.text) as Value, version: found.version };
  }

  async query<Value>(partition: string) {
    this.calls += 1;
    const begin = `${partition}\0`;
    const rows = [...this.#rows]
      .filter(([key]) => key.startsWith(begin))
      .map(
        ([key, { text, version }]): Row<Value> => ({
          ...{ partition, sort: key.slice(begin.length), version },
          value: JSON.parse(text) as Value,
        }),
      );
    return { rows };
  }

  async put(partition: string, sort: string, value: unknown, { ifVersion }: { readonly ifVersion?: string } = {}) {
    this.calls += 1;
    const key = `${partition}\0${sort}`;
    const before = this.#rows.get(key)?.version ?? "absent";
    if (ifVersion !== undefined && ifVersion !== before) throw new MillraceError("conflict", "another version");
    const version = String(this.calls);
    this.#rows.set(key, { text: JSON.stringify(value), version });
    return version;
  }

  async remove(partition: string, sort: string) {
    this.#rows.delete(`${partition}\0${sort}`);
  }
}

const table = new MemoryTable();
const world = {
  links: { slots: table, volume: { path: folder } },
  settings: {
    application: { path: ["app"] },
    files: 10,
    seal: { size: 64 * 2 ** 20, age: 600_000 },
    compression: { codec, level: Number(level) },
    lease: 10_000,
  },
  run: { id: "run", attempt: 1, deadline: Number.MAX_SAFE_INTEGER, progress() {} },
  signal: new AbortController().signal,
  log: { debug() {}, info() {}, warn() {}, error() {} },
  metrics: { count() {}, gauge() {} },
  clock: systemClock,
  code: {},
  tools: {},
  scratch: folder,
};
const given = batches(Number(count));
await report(folder, async () => {
  const offsets = Array.from({ length: PARTITIONS }, () => 0);
  for (const [index, values] of given.entries()) {
    const partition = index % PARTITIONS;
    const records = values.map((value) => {
      const offset = offsets[partition]!;
      offsets[partition] = offset + 1;
      return { partition, offset, timestamp: 1_790_000_000_000 + index * 7000, headers: {}, value };
    });
    const id = `batch-${index}`;
    await archive({ type: "stream.consumed", id, stream: "logs", records, time: "2026-11-21T10:00:00Z" }, world);
  }
});
