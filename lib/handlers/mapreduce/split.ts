import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler } from "../../runtime/handler.ts";
import type { BucketReader, BucketWriter, ObjectInfo } from "../../runtime/ports.ts";
import type { RecordFormat } from "../../shared/mapreduce/format.ts";
import { keysOf } from "./keys.ts";
import { readFooter, type Span } from "./parquet.ts";
import { commitJson, cutShards, eachOf, findJson, type InputPlan } from "./plan.ts";
import { isCompressed, type Piece } from "./records.ts";
import type { RunStep, SplitSettings } from "./settings.ts";

/** What the splitter may touch. */
export interface SplitLinks {
  readonly input: BucketReader;
  readonly work: BucketReader & BucketWriter;
}

/** The run, and what it reads. */
export interface SplitRequest extends RunStep {
  /** `{ prefix }`, in place of the settings'. @default the settings' */
  readonly input?: unknown;
}

/** The shards by their numbers; what is in them lies in the run's plan. */
export interface SplitResult {
  readonly shards: readonly { readonly shard: number }[];
  /** Those of which nobody knows without reading them how the quotes in them lead on. */
  readonly scans: readonly { readonly shard: number }[];
  readonly objects: number;
  /** Bytes. */
  readonly size: number;
}

/** A workflow's state holds the numbers of so many shards; what is more makes shards larger. */
export const MOST_SHARDS = 1000;
/** A plan is read by every mapper. */
const MOST_OBJECTS = 100_000;

/**
 * Lists the input and cuts it into shards. What it has found once stays, also when it is called again.
 *
 * @throws `bad-input` if the run's input is another one
 */
export const handler: Handler<FunctionInvoked<SplitRequest>, SplitLinks, SplitSettings, SplitResult> = async (
  { payload: { run, input: given } },
  { links: { input, work }, settings, signal, log },
) => {
  const keys = keysOf(run);
  const prefix = prefixOf(given) ?? settings.prefix;
  const known = await findJson<InputPlan>(work, keys.plan);
  const plan = known ?? (await commitJson(work, keys.plan, await planned()));
  return {
    shards: plan.shards.map((_, shard) => ({ shard })),
    scans: hasQuotedNewlines(settings.format) ? cutShards(plan).map((shard) => ({ shard })) : [],
    objects: plan.objects,
    size: plan.size,
  };

  async function planned(): Promise<InputPlan> {
    const objects = await inputObjects(input, { ...settings, prefix }, signal);
    const cuttable = settings.format === "parquet" ? await withGroups(input, objects) : objects;
    const made = planShards(cuttable, settings.shardSize);
    const { length } = made.shards;
    log.info("the input is split", { objects: made.objects, size: made.size, shards: length });
    return made;
  }
};

function prefixOf(input: unknown): string | undefined {
  if (input === undefined || input === null) return undefined;
  const isObject = typeof input === "object" && !Array.isArray(input);
  const fields = isObject ? Object.entries(input) : [["input", input] as const];
  const wrong = fields.find(([name, value]) => name !== "prefix" || typeof value !== "string");
  if (!wrong) return (input as { readonly prefix?: string }).prefix;
  const [name, value] = wrong;
  throw new MillraceError(
    "bad-input",
    `${name}: a run is started with nothing or { "prefix": "…" }, got ${JSON.stringify(value)?.slice(0, 200)}`,
  );
}

/** Whether a line break may be inside a record. */
const hasQuotedNewlines = (format: RecordFormat): boolean =>
  typeof format === "object" && format.csv.quotedNewlines !== false;

async function inputObjects(
  input: Pick<BucketReader, "list">,
  { prefix, suffixes }: Pick<SplitSettings, "prefix" | "suffixes">,
  signal: AbortSignal,
): Promise<readonly ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for (let after: string | undefined; ; ) {
    signal.throwIfAborted();
    const page = await input.list({ prefix, ...(after !== undefined && { after }) });
    const fits = (key: string) => suffixes.length === 0 || suffixes.some((suffix) => key.endsWith(suffix));
    found.push(...page.objects.filter(({ key, size }) => size > 0 && fits(key)));
    if (found.length > MOST_OBJECTS) {
      throw new MillraceError(
        "bad-input",
        `prefix: more than ${MOST_OBJECTS} objects begin with "${prefix}"; a run reads at most that many`,
      );
    }
    if (page.next === undefined) return found;
    after = page.next;
  }
}

/** At most {@link MOST_SHARDS} of them, each of about that size, or larger where they would be more. */
export function planShards(objects: readonly InputObject[], shardSize: number): InputPlan {
  const size = objects.reduce((sum, object) => sum + object.size, 0);
  const shards = cutInto(objects, shardSize);
  // Any two that follow each other have more than one's size together.
  const fewer = () => cutInto(objects, Math.ceil((2 * size) / (MOST_SHARDS - 1)));
  return { objects: objects.length, size, shards: shards.length > MOST_SHARDS ? fewer() : shards };
}

type InputObject = Pick<ObjectInfo, "key" | "etag" | "size"> & {
  /** Of Parquet: between which bytes each row group lies. */
  readonly groups?: readonly Span[];
};

/** Every object is opened: what it has is known only at its end. */
const withGroups = (
  input: Pick<BucketReader, "get">,
  objects: readonly ObjectInfo[],
): Promise<readonly InputObject[]> =>
  eachOf(objects, async ({ key, etag, size }) => {
    const get = async (from: number, to: number) =>
      Buffer.from(await input.get(key, { range: [from, to - 1], ifMatch: etag }));
    const { groups } = await readFooter({ key, size }, get);
    return { key, etag, size, groups: groups.map(({ data }) => data) };
  });

/** Large objects are cut; small ones are put together, in their order, until they make a shard. */
function cutInto(objects: readonly InputObject[], shardBytes: number): readonly (readonly Piece[])[] {
  const shards: Piece[][] = [];
  let [open, openBytes]: [Piece[], number] = [[], 0];
  for (const object of objects) {
    const pieces = object.groups ? groupPieces(object, object.groups, shardBytes) : evenPieces(object, shardBytes);
    if (pieces.length > 1) {
      for (const piece of pieces) shards.push([piece]);
      continue;
    }
    for (const piece of pieces) {
      const bytes = piece.to - piece.from;
      if (openBytes + bytes > shardBytes && open.length > 0) {
        shards.push(open);
        [open, openBytes] = [[], 0];
      }
      open.push(piece);
      openBytes += bytes;
    }
  }
  if (open.length > 0) shards.push(open);
  return shards;
}

function evenPieces({ key, etag, size }: InputObject, shardBytes: number): readonly Piece[] {
  const count = isCompressed(key) ? 1 : Math.ceil(size / shardBytes);
  const cut = (index: number) => (index === count ? size : Math.floor((size / count) * index));
  return Array.from({ length: count }, (_, index) => ({ key, etag, size, from: cut(index), to: cut(index + 1) }));
}

/** Row groups that follow each other, until they are as large. */
function groupPieces({ key, etag, size }: InputObject, groups: readonly Span[], shardBytes: number): readonly Piece[] {
  const pieces: Piece[] = [];
  for (const [index, [from, to]] of groups.entries()) {
    const last = pieces.at(-1);
    if (last?.groups && to - last.from <= shardBytes) {
      pieces[pieces.length - 1] = { ...last, to, groups: [last.groups[0], index + 1] };
    } else {
      pieces.push({ key, etag, size, from, to, groups: [index, index + 1] });
    }
  }
  return pieces;
}
