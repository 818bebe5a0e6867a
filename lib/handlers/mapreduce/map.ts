import { randomUUID } from "node:crypto";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Context, Handler } from "../../runtime/handler.ts";
import type { BucketReader, BucketRemover, BucketWriter } from "../../runtime/ports.ts";
import { combineOf } from "./combine.ts";
import { CsvScan } from "./csv.ts";
import { keysOf } from "./keys.ts";
import { type BadRecord, batchMapper, type Taker } from "./mapper.ts";
import { Pairs } from "./pairs.ts";
import { commitJson, findJson, type InputPlan, readJson } from "./plan.ts";
import { putBytes } from "./put.ts";
import { csvOf, readingOf } from "./reading.ts";
import { batches, type Piece } from "./records.ts";
import type { MapSettings, RunStep } from "./settings.ts";
import { codecHere, type Run, type RunCodec } from "./shuffle.ts";
import type { CombinerModule, GroupProgram, MapperModule, MapperProgram } from "./user-code.ts";

/** What a mapper may touch. */
export interface MapLinks {
  readonly input: BucketReader;
  readonly work: BucketReader & BucketWriter & BucketRemover;
}

/** The user's code. */
export interface MapCode {
  readonly mapper: MapperModule | MapperProgram;
  readonly combiner?: CombinerModule | GroupProgram;
}

/** One shard of a run. */
export interface MapRequest extends RunStep {
  readonly shard: number;
  /** True: it is only found out how quotes lead through the shard. */
  readonly scans?: boolean;
}

/** What a mapper has made, as the attempt says that came first. */
export interface Mapped {
  /** Absent if it has no pairs. */
  readonly object?: { readonly key: string; readonly etag: string; readonly codec: RunCodec };
  /** Runs in the object, by partition. */
  readonly runs: readonly (readonly [partition: number, runs: readonly Run[]])[];
  readonly records: number;
  readonly pairs: number;
  /** Pairs behind the combiner. */
  readonly written: number;
  readonly skipped: number;
  /** The first of those skipped. */
  readonly bad: readonly BadRecord[];
}

/** What is told of a shard. */
export type MapResult = Pick<Mapped, "records" | "pairs" | "skipped">;

/** Of skipped records, as examples. */
const MOST_BAD = 20;

type MapContext<Settings extends ScanSettings = MapSettings, Code = MapCode> = Context<MapLinks, Settings, Code>;
type ScanSettings = Pick<MapSettings, "format">;

/**
 * A mapper's handler. Called again, or twice at once, it changes nothing.
 *
 * @param mapShard puts the pairs of the records that start in a shard under the key it is given
 */
export const mapping =
  <Settings extends ScanSettings, Code>(
    mapShard: (
      request: MapRequest,
      pieces: readonly Piece[],
      key: string,
      context: MapContext<Settings, Code>,
    ) => Promise<Mapped>,
  ): Handler<FunctionInvoked<MapRequest>, MapLinks, Settings, MapResult, Code> =>
  async ({ payload: request }, context) => {
    const { run, shard } = request;
    const { work } = context.links;
    const keys = keysOf(run);
    const { shards } = await readJson<InputPlan>(work, keys.plan);
    const pieces = shards[shard];
    if (!pieces) throw new MillraceError("bad-input", `shard: there is no shard ${shard}, there are ${shards.length}`);
    if (request.scans) return scan(keys.scan(shard), pieces, context);
    const known = await findJson<Mapped>(work, keys.mapped(shard));
    if (known) return resultOf(known);
    const object = keys.pairs(shard, randomUUID());
    const mapped = await mapShard(request, pieces, object, context);
    const committed = await commitJson(work, keys.mapped(shard), mapped);
    // Another attempt was quicker: nobody ever reads this one's pairs.
    if (committed.object?.key !== object && mapped.object) await work.remove(object);
    return resultOf(committed);
  };

const resultOf = ({ records, pairs, skipped }: Mapped): MapResult => ({ records, pairs, skipped });

/** How states of CSV lead through the pieces of a shard; those that begin an object need nobody to know. */
async function scan(
  key: string,
  pieces: readonly Piece[],
  { links, settings, signal }: Pick<MapContext<ScanSettings, unknown>, "links" | "settings" | "signal">,
): Promise<MapResult> {
  const ways = [];
  for (const piece of pieces) {
    if (piece.to === piece.size) continue;
    const way = new CsvScan(csvOf(settings.format)?.delimiter ?? ",");
    for (let at = piece.from; at < piece.to; at += SCANNED) {
      signal.throwIfAborted();
      const last = Math.min(at + SCANNED, piece.to) - 1;
      way.read(await links.input.get(piece.key, { range: [at, last], ifMatch: piece.etag }));
    }
    ways.push({ key: piece.key, from: piece.from, to: piece.to, ends: way.ends });
  }
  await links.work.put(key, JSON.stringify(ways), { contentType: "application/json" });
  return { records: 0, pairs: 0, skipped: 0 };
}

/** Bytes of CSV read at once. */
const SCANNED = 8 * 2 ** 20;

/** A piece as it is read, and what reads it. */
interface Opened {
  readonly piece: Piece;
  readonly input: Pick<BucketReader, "get" | "stream">;
  readonly close?: () => Promise<void>;
}

/**
 * Gives every record to the user's mapper.
 *
 * @param opened makes what can be read record by record of a piece. @default it can be read so
 */
export async function mapShard(
  { run, shard }: MapRequest,
  pieces: readonly Piece[],
  key: string,
  { links, settings, code, signal, run: current }: MapContext,
  opened: (piece: Piece) => Promise<Opened> = async (piece) => ({ piece, input: links.input }),
): Promise<Mapped> {
  const { work } = links;
  const { partitions, buffer, skips, format } = settings;
  const codec = codecHere();
  const pairs = new Pairs({ partitions, buffer, codec, ...combineOf(code.combiner, { run, object: "" }) });
  const counted: Counted = { records: 0, skipped: 0, bad: [] };
  const taker = takerOf(pairs, counted, skips);
  const mapper = batchMapper(code.mapper);
  const all = pieces.reduce((sum, { from, to }) => sum + to - from, 0);
  let done = 0;

  async function* bytes(): AsyncGenerator<Buffer, void> {
    for (const whole of pieces) {
      const { piece, input, close } = await opened(whole);
      const { form, state } = await readingOf(run, piece, format, { input, work }, signal);
      const context = { run, object: piece.key };
      for await (const batch of batches(input, piece, form.framer(state), { signal })) {
        signal.throwIfAborted();
        for await (const _ of mapper(batch, form, context, taker)) yield* pairs.flush();
      }
      await close?.();
      done += whole.to - whole.from;
      current.progress(all > 0 ? done / all : 1, `shard ${shard}`);
    }
    yield* pairs.flush();
  }

  const object = await putBytes(work, key, bytes());
  return {
    ...(object && { object: { key, etag: object.etag, codec } }),
    runs: [...pairs.runs],
    ...counted,
    pairs: pairs.taken,
    written: pairs.written,
  };
}

/** What was counted of a shard's records. */
export interface Counted {
  records: number;
  skipped: number;
  readonly bad: BadRecord[];
}

function takerOf(pairs: Pairs, counted: Counted, skips: number): Taker {
  return {
    pair: (key, value) => pairs.add(key, value),
    isFull: () => pairs.isFull,
    record: () => {
      counted.records += 1;
    },
    bad: (record) => countBad(counted, record, skips),
  };
}

/** @throws when it is one more than may be skipped */
export function countBad(counted: Counted, record: BadRecord, skips: number): void {
  counted.skipped += 1;
  if (counted.skipped > skips) throw tooManyBad(record, counted.skipped, skips);
  if (counted.bad.length < MOST_BAD) counted.bad.push(record);
}

/** The error of a run that has more bad records than it may skip. */
export const tooManyBad = ({ object, offset, message }: BadRecord, skipped: number, skips: number): MillraceError =>
  new MillraceError(
    "bad-input",
    `${object}: the record at byte ${offset} failed: ${message}${skips > 0 ? ` (${skipped} failed, ${skips} may be skipped)` : ""}`,
  );

/** Maps the records that start in a shard. */
export const handler = mapping(mapShard);
