import { crc64 } from "../../runtime/crc64.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Context, Handler } from "../../runtime/handler.ts";
import type { Piece } from "../../runtime/ports.ts";
import { atOnce } from "./at-once.ts";
import { Progress } from "./progress.ts";
import { readWhole } from "./read-whole.ts";
import type { TransferLinks, TransferSettings } from "./settings.ts";
import { copySmall } from "./small.ts";
import { isCopyOf, type LargeObject, type ObjectFailure, type TransferPlan, TransferState } from "./state.ts";
import { givenUp, tried } from "./tries.ts";

export interface CopyInput {
  /** The workflow's run. */
  readonly run: string;
  /** From 1. */
  readonly group: number;
}

type World = Context<TransferLinks, TransferSettings>;

/** Pieces under way at once, if they fit into memory. */
const AT_ONCE = 8;
/** Milliseconds before the deadline at which nothing new is begun. */
const MARGIN = 60_000;

/**
 * Copies one worker's share: its range of all pieces, and its pages of small objects. What is there already is not
 * copied again, so that whoever comes after a worker that was killed goes on where it stopped. Every read is on
 * condition of the etag that was pinned: a source that changes is given up and never mixed.
 *
 * @throws `interrupted` when its time is over and something is left: the next try goes on
 */
export const handler: Handler<FunctionInvoked<CopyInput>, TransferLinks, TransferSettings, void> = async (
  { payload: { run, group } },
  world,
) => {
  const state = new TransferState(world.links.state, run);
  const [plan, isFirst] = await Promise.all([state.plan(), state.begin(group)]);
  const until = deadlineOf(world);
  const progress = new Progress(plan.bytes / plan.groups, world);
  const large = await copyLarge(world, state, plan, group, until, progress);
  const small = await copySmall(world, state, plan, group, isFirst, until, progress);
  await state.putReport(group, {
    ...small.report,
    failures: [...large.failures, ...small.report.failures],
    lost: large.lost,
  });
  const left = large.left + small.left;
  if (left > 0) throw new MillraceError("interrupted", `the time is over: ${left} pieces and small objects are left`);
};

/** A function that has little time keeps a part of it. */
function deadlineOf({ run, clock }: World): number {
  const now = clock.now();
  return run.deadline - Math.min(MARGIN, (run.deadline - now) / 4);
}

interface LargeCopied {
  readonly failures: readonly ObjectFailure[];
  readonly lost: readonly number[];
  readonly left: number;
}

async function copyLarge(
  world: World,
  state: TransferState,
  plan: TransferPlan,
  group: number,
  until: number,
  progress: Progress,
): Promise<LargeCopied> {
  const [first, end] = [1, 0].map((less) => Math.floor(((group - less) * plan.pieces) / plan.groups)) as [
    number,
    number,
  ];
  const failures: ObjectFailure[] = [];
  const lost: number[] = [];
  let left = 0;
  for await (const object of state.large(plan)) {
    if (object.before + object.pieces <= first) continue;
    if (object.before >= end) break;
    const range = [Math.max(first - object.before, 0) + 1, Math.min(end - object.before, object.pieces)] as const;
    try {
      left += await copyRange(world, object, range, until, progress);
    } catch (error) {
      const failure = givenUp(object, error);
      if (!failure) throw error;
      if (await isDoneByOthers(world, object, plan)) continue;
      failures.push(failure);
      lost.push(object.index);
    }
  }
  return { failures, lost, left };
}

/** An upload that is over may have been completed by another run for the same content. */
const isDoneByOthers = async ({ links }: World, object: LargeObject, { begun }: TransferPlan): Promise<boolean> =>
  isCopyOf(await links.to.head(object.target, { crc64: true }), object, begun, object.crc64);

/** Copies what is missing of a range of pieces; answers how many there was no time for. */
async function copyRange(
  world: World,
  object: LargeObject,
  [first, last]: readonly [number, number],
  until: number,
  progress: Progress,
): Promise<number> {
  const there = await present(world, object, first, last);
  const missing: number[] = [];
  for (let number = first; number <= last; number += 1) {
    if (there.has(number)) progress.skip(sizeOf(object, number));
    else missing.push(number);
  }
  let left = 0;
  const most = Math.max(1, Math.min(AT_ONCE, Math.floor(world.settings.buffer / object.piece), missing.length));
  const buffers: Buffer[] = [];
  const store: Store = { copies: true };
  await atOnce(most, missing, async (number, lane) => {
    world.signal.throwIfAborted();
    if (world.clock.now() >= until) {
      left += 1;
      return;
    }
    await tried(world, async () => {
      // Made when it is needed: what the store copies by itself is never read.
      const buffer = () => (buffers[lane] ??= Buffer.allocUnsafeSlow(Math.min(object.piece, object.size)));
      await copyPiece(world, object, number, buffer, store);
    });
    progress.add(sizeOf(object, number));
  });
  return left;
}

/** The pieces of a range that are there, whole. */
async function present({ links: { to } }: World, object: LargeObject, first: number, last: number) {
  const numbers = new Set<number>();
  let after: number | undefined = first - 1;
  while (after !== undefined && after < last) {
    const { pieces, next }: { pieces: readonly Piece[]; next?: number } = await to.listPieces(object.upload, { after });
    for (const piece of pieces) {
      if (piece.number <= last && piece.size === sizeOf(object, piece.number)) numbers.add(piece.number);
    }
    after = next;
  }
  return numbers;
}

/** The bytes of a piece. */
export const sizeOf = ({ size, piece, pieces }: LargeObject, number: number): number =>
  number === pieces ? size - piece * (pieces - 1) : piece;

/** Whether the store copies by itself, as far as is known: one that did not once is not asked again. */
interface Store {
  copies: boolean;
}

/** By the store where it can; else what is read goes on with its CRC, which the store compares. */
async function copyPiece(
  { links: { from, to }, signal }: World,
  object: LargeObject,
  number: number,
  buffer: () => Buffer,
  store: Store,
): Promise<void> {
  const { key, etag: ifMatch, piece, upload } = object;
  const size = sizeOf(object, number);
  const begin = piece * (number - 1);
  const range = [begin, begin + size - 1] as const;
  if (store.copies) {
    if (await to.copyPiece(upload, number, { from, key, range, ifMatch })) return;
    store.copies = false;
  }
  const stream = await from.stream(key, { range, ifMatch });
  const body = await readWhole(stream, buffer().subarray(0, size), `${key}, piece ${number}`, signal);
  await to.putPiece(upload, number, body, upload.crc64 && crc64(upload.crc64, body));
}
