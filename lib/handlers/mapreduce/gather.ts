import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { BucketReader, BucketWriter } from "../../runtime/ports.ts";
import type { CsvState } from "./csv.ts";
import { keysOf } from "./keys.ts";
import { type Mapped, tooManyBad } from "./map.ts";
import type { BadRecord } from "./mapper.ts";
import { cutShards, eachOf, type InputPlan, readJson } from "./plan.ts";
import type { Border } from "./reading.ts";
import type { MapSettings, RunStep } from "./settings.ts";
import type { RunPlace } from "./shuffle.ts";

/** What is between mappers and reducers may touch. */
export interface GatherLinks {
  readonly work: BucketReader & BucketWriter;
}

export interface GatherRequest extends RunStep {
  /** True: it is put together from the scans how pieces of CSV begin. Absent: what the mappers made. */
  readonly scans?: boolean;
}

/** Partitions with anything in them, by their numbers. */
export interface GatherResult {
  readonly partitions: readonly { readonly partition: number }[];
}

/** What all mappers together have made. */
export interface Gathered extends GatherResult {
  readonly records: number;
  readonly pairs: number;
  /** Pairs for the reducers. */
  readonly written: number;
  readonly skipped: number;
  readonly bad: readonly BadRecord[];
}

const MOST_BAD = 100;

/** Tells the reducers where their pairs are, so that each reads one object rather than one of every mapper. */
export const handler: Handler<
  FunctionInvoked<GatherRequest>,
  GatherLinks,
  Pick<MapSettings, "skips">,
  GatherResult
> = async ({ payload: { run, scans } }, { links: { work }, settings: { skips } }) => {
  const keys = keysOf(run);
  const put = (key: string, value: unknown) =>
    work.put(key, JSON.stringify(value), { contentType: "application/json" });
  const plan = await readJson<InputPlan>(work, keys.plan);
  if (scans) {
    const ways = await eachOf(cutShards(plan), (shard) => readJson<readonly Way[]>(work, keys.scan(shard)));
    await put(keys.borders, bordersOf(ways.flat()));
    return { partitions: [] };
  }
  const mapped = await eachOf(plan.shards, (_, shard) => readJson<Mapped>(work, keys.mapped(shard)));
  const places = placesOf(mapped);
  const partitions = [...places.keys()].sort((one, other) => one - other).map((partition) => ({ partition }));
  const sum = (count: "records" | "pairs" | "written" | "skipped") => mapped.reduce((all, one) => all + one[count], 0);
  const bad = mapped.flatMap((one) => one.bad);
  const skipped = sum("skipped");
  if (skipped > skips && bad[0]) throw tooManyBad(bad[0], skipped, skips);
  await eachOf([...places], ([partition, runs]) => put(keys.partition(partition), runs));
  const gathered: Gathered = {
    partitions,
    records: sum("records"),
    pairs: sum("pairs"),
    written: sum("written"),
    skipped,
    bad: bad.slice(0, MOST_BAD),
  };
  await put(keys.gathered, gathered);
  return { partitions };
};

/** Through which states one piece of CSV leads. */
interface Way {
  readonly key: string;
  readonly from: number;
  readonly to: number;
  readonly ends: Readonly<Record<CsvState, CsvState>>;
}

/** The state in which each piece but the first of an object begins: where the one before it has led. */
export function bordersOf(ways: readonly Way[]): readonly Border[] {
  const states = new Map<string, CsvState>();
  const inOrder = [...ways].sort((one, other) => one.from - other.from);
  return inOrder.map(({ key, to, ends }) => {
    const state = ends[states.get(key) ?? "record"];
    states.set(key, state);
    return { key, from: to, state };
  });
}

function placesOf(mapped: readonly Mapped[]): ReadonlyMap<number, readonly RunPlace[]> {
  const places = new Map<number, RunPlace[]>();
  for (const { object, runs } of mapped) {
    for (const [partition, ofPartition] of object ? runs : []) {
      const found = places.get(partition) ?? [];
      found.push(...ofPartition.map((run) => ({ object: object!.key, etag: object!.etag, codec: object!.codec, run })));
      places.set(partition, found);
    }
  }
  return places;
}
