import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { Buckets } from "../../../lib/clouds/local/host/buckets.ts";
import { Journal } from "../../../lib/clouds/local/host/journal.ts";
import { Tables } from "../../../lib/clouds/local/host/tables.ts";
import { type Archived, archive, type SlotLock } from "../../../lib/handlers/archive/archive.ts";
import type { AppendSettings, UploadSettings } from "../../../lib/handlers/archive/settings.ts";
import { handler as upload } from "../../../lib/handlers/archive/upload.ts";
import type { ApplicationModule } from "../../../lib/handlers/archive/user-code.ts";
import { type Clock, systemClock } from "../../../lib/runtime/clock.ts";
import type { StreamConsumed, StreamRecord } from "../../../lib/runtime/events.ts";
import type { BucketReader, BucketWriter, TableReader, TableWriter } from "../../../lib/runtime/ports.ts";
import { type Line, membersIn, unpack } from "../../../lib/shared/archive/member.ts";
import { bucketPlan, tablePlan } from "../../clouds/local/plans.ts";

export type Table = TableReader & TableWriter;
export type Bucket = BucketReader & BucketWriter;

/** A clock that a test moves; who waits is woken at once. */
export class TestClock implements Clock {
  time = Date.parse("2026-11-21T10:00:00Z");
  now(): number {
    return this.time;
  }
  at(time: number, callback: () => void): () => void {
    const handle = setTimeout(() => {
      this.time = Math.max(this.time, time);
      callback();
    }, 1);
    return () => clearTimeout(handle);
  }
}

export const SETTINGS: AppendSettings = {
  application: { path: ["app"] },
  files: 4,
  seal: { size: 2 ** 20, age: 300_000 },
  compression: { codec: "gzip", level: 1 },
  lease: 20_000,
};

export interface World {
  readonly folder: string;
  readonly volume: string;
  readonly table: Table;
  readonly bucket: Bucket;
  readonly clock: TestClock;
  readonly counts: Record<string, number>;
  append(records: readonly StreamRecord[], options?: AppendOptions): Promise<Archived>;
  upload(options?: UploadOptions): ReturnType<typeof upload>;
}

export interface AppendOptions {
  readonly table?: Table;
  readonly volume?: string;
  readonly settings?: Partial<AppendSettings>;
  readonly code?: ApplicationModule;
  readonly lock?: SlotLock;
  readonly clock?: Clock;
  /** Milliseconds the invocation has. */
  readonly time?: number;
  readonly stream?: string;
}

export interface UploadOptions {
  readonly table?: Table;
  readonly bucket?: Bucket;
  readonly settings?: Partial<UploadSettings>;
}

let invocations = 0;

/** A table, a bucket and a volume of the local cloud in a folder of their own, and the handlers on them. */
export function world(given: Partial<AppendSettings> = {}): World {
  const folder = mkdtempSync(join(tmpdir(), "millrace-archive-"));
  const journal = new Journal(folder);
  onTestFinished(() => {
    journal.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const clock = new TestClock();
  const tables = new Tables({ journal, clock });
  tables.define(tablePlan("slots"));
  const buckets = new Buckets({ journal, clock: systemClock, onCreated: () => {} });
  buckets.define(bucketPlan("archive"));
  const volume = join(folder, "volume");
  mkdirSync(volume);
  const table: Table = { ...tables.reader("slots"), ...tables.writer("slots") };
  const bucket: Bucket = { ...buckets.reader("archive"), ...buckets.writer("archive") };
  const counts: Record<string, number> = {};
  const context = (time: number, its: Clock) => ({
    run: { id: `run-${++invocations}`, attempt: 1, deadline: its.now() + time, progress: () => {} },
    signal: new AbortController().signal,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    metrics: {
      count(name: string, value = 1) {
        counts[name] = (counts[name] ?? 0) + value;
      },
      gauge() {},
    },
    clock: its,
    tools: {},
    scratch: folder,
  });
  return {
    ...{ folder, volume, table, bucket, clock, counts },
    append: (records, { settings, code, lock, time = 100_000, stream = "logs", ...links } = {}) =>
      archive(
        batch(records, stream),
        {
          ...context(time, links.clock ?? clock),
          links: { slots: links.table ?? table, volume: { path: links.volume ?? volume } },
          settings: { ...SETTINGS, ...given, ...settings },
          code: { ...(code && { application: code }) },
        },
        lock,
      ),
    upload: ({ settings, ...links } = {}) =>
      upload(
        { type: "schedule.fired", id: "fired", schedule: "schedule", time: new Date(clock.time).toISOString() },
        {
          ...context(300_000, clock),
          links: { slots: links.table ?? table, volume: { path: volume }, bucket: links.bucket ?? bucket },
          settings: { seal: SETTINGS.seal, prefix: "", ...settings },
          code: {},
        },
      ),
  };
}

export const batch = (records: readonly StreamRecord[], stream = "logs"): StreamConsumed => ({
  type: "stream.consumed",
  id: `${stream}-${records[0]?.partition}-${records[0]?.offset}`,
  stream,
  records,
  time: "2026-11-21T10:00:00.000Z",
});

/** A record whose value says where it was. */
export const record = (app: string | undefined, partition: number, offset: number, text = ""): StreamRecord => ({
  ...{ partition, offset, timestamp: 1_790_000_000_000 + offset, headers: {} },
  value: Buffer.from(JSON.stringify({ app, at: `${partition}/${offset}`, text })),
});

export const records = (app: string, partition: number, from: number, to: number, text = ""): StreamRecord[] =>
  Array.from({ length: to - from }, (_, index) => record(app, partition, from + index, text));

/** All lines in the bucket, by application, with their partitions, in the keys' order. */
export async function archived(bucket: Bucket): Promise<Record<string, (Line & { readonly partition: number })[]>> {
  const found: Record<string, (Line & { readonly partition: number })[]> = {};
  for (const key of await keysIn(bucket)) {
    const [, app] = /^app=([^/]+)\/dt=\d{4}-\d\d-\d\d\/hour=\d\d\/[^/]+$/.exec(key) as unknown as [string, string];
    found[app] ??= [];
    for await (const { head, bytes } of membersIn(await bucket.stream(key))) {
      found[app].push(...unpack(bytes).map((line) => ({ ...line, partition: head.partition })));
    }
  }
  return found;
}

async function keysIn(bucket: Bucket): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await bucket.list(after === undefined ? {} : { after });
    keys.push(...page.objects.map(({ key }) => key));
    if (page.next === undefined) return keys;
    after = page.next;
  }
}

/** Everything, uploaded and told by partition as `0/7`: to be compared with what was sent. */
export async function everything(made: World): Promise<Record<string, readonly string[]>> {
  made.clock.time += 400_000;
  await made.upload();
  const found = await archived(made.bucket);
  return Object.fromEntries(Object.entries(found).map(([app, lines]) => [app, lines.map(({ value }) => atOf(value))]));
}

export const atOf = (value: Uint8Array): string => (JSON.parse(Buffer.from(value).toString()) as { at: string }).at;

/** A table whose calls pass a hook before and after they are done. */
export function watched(
  table: Table,
  hook: (when: "before" | "after", call: "get" | "query" | "put" | "remove") => void | Promise<void>,
): Table {
  const through =
    <Args extends unknown[], Answer>(
      name: "get" | "query" | "put" | "remove",
      call: (...args: Args) => Promise<Answer>,
    ) =>
    async (...args: Args): Promise<Answer> => {
      await hook("before", name);
      const answer = await call(...args);
      await hook("after", name);
      return answer;
    };
  return {
    get: through("get", table.get) as Table["get"],
    query: through("query", table.query) as Table["query"],
    put: through("put", table.put),
    remove: through("remove", table.remove),
  };
}
