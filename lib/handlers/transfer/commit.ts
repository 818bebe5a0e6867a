import { combineCrc64, crc64 } from "../../runtime/crc64.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Context, Handler } from "../../runtime/handler.ts";
import type { Crc64, Piece } from "../../runtime/ports.ts";
import { atOnce } from "./at-once.ts";
import { sizeOf } from "./copy.ts";
import type { TransferLinks, TransferSettings } from "./settings.ts";
import { checkSource } from "./small.ts";
import {
  type GivenUp,
  isCopyOf,
  type LargeObject,
  type ObjectFailure,
  type TransferPlan,
  TransferState,
} from "./state.ts";
import { givenUp, tried } from "./tries.ts";

export interface CommitInput {
  /** The workflow's run. */
  readonly run: string;
}

/** What a transfer came to, and whether all went well: what no other try helps is answered, so that none is made. */
export interface Committed extends Transferred {
  /** The kind of the first failure, when objects were given up; the others have been copied all the same. */
  readonly outcome: "copied" | GivenUp;
  /** What was given up and why; empty if all went well. */
  readonly message: string;
}

/** What a transfer came to. */
export interface Transferred {
  readonly objects: number;
  /** Bytes of what was copied. */
  readonly bytes: number;
  /** Objects that stayed as they were in the target. */
  readonly kept: number;
}

type World = Context<TransferLinks, TransferSettings>;

/** Objects verified and completed at once. */
const AT_ONCE = 8;
/** Failures an error names; all of them lie in the state bucket. */
const NAMED = 5;

/** Verifies every large object by what the stores say of its pieces, and completes it; aborts what was given up. */
export const handler: Handler<FunctionInvoked<CommitInput>, TransferLinks, TransferSettings, Committed> = async (
  { payload: { run } },
  world,
) => {
  const state = new TransferState(world.links.state, run);
  const plan = await state.plan();
  const groups = Array.from({ length: plan.groups }, (_, index) => index + 1);
  const reports = await atOnce(AT_ONCE, groups, (group) => state.report(group));
  const lost = new Set(reports.flatMap((report) => report.lost));
  const failures = [...plan.failures, ...reports.flatMap((report) => report.failures)];
  let copied = reports.reduce((sum, report) => sum + report.copied, 0);
  let bytes = reports.reduce((sum, report) => sum + report.bytes, 0);
  for await (const objects of inPages(state.large(plan))) {
    const outcomes = await atOnce(AT_ONCE, objects, (object) => finish(world, state, plan, object, lost));
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome === "copied") [copied, bytes] = [copied + 1, bytes + objects[index]!.size];
      else if (outcome !== "lost") failures.push(outcome);
    }
  }
  const kept = reports.reduce((sum, report) => sum + report.kept, plan.kept);
  return { objects: copied, bytes, kept, ...(await outcomeOf(state, failures)) };
};

async function* inPages(objects: AsyncIterable<LargeObject>): AsyncGenerator<readonly LargeObject[], undefined> {
  let page: LargeObject[] = [];
  for await (const object of objects) {
    if (page.push(object) < PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
  return undefined;
}

const PAGE = 100;

async function outcomeOf(
  state: TransferState,
  failures: readonly ObjectFailure[],
): Promise<Pick<Committed, "outcome" | "message">> {
  if (failures.length === 0) return { outcome: "copied", message: "" };
  // An object whose pieces several workers had is one failure.
  const distinct = [...new Map(failures.map((failure) => [failure.target, failure])).values()];
  await state.putFailures(distinct);
  const named = distinct.slice(0, NAMED).map(({ message }) => message);
  const more = distinct.length > NAMED ? `; and ${distinct.length - NAMED} more, in ${state.failuresKey()}` : "";
  const count = `${distinct.length} ${distinct.length === 1 ? "object was" : "objects were"}`;
  return { outcome: distinct[0]!.kind, message: `${count} not copied: ${named.join("; ")}${more}` };
}

/** Completes a large object, or aborts its upload. */
async function finish(
  world: World,
  state: TransferState,
  plan: TransferPlan,
  object: LargeObject,
  lost: ReadonlySet<number>,
): Promise<"copied" | "lost" | ObjectFailure> {
  const { to } = world.links;
  world.signal.throwIfAborted();
  if (lost.has(object.index)) {
    await to.abortUpload(object.upload);
    return "lost";
  }
  try {
    await tried(world, () => complete(world, state, plan, object));
    return "copied";
  } catch (error) {
    const failure = givenUp(object, error) ?? mismatch(object, error);
    if (!failure) throw error;
    await to.abortUpload(object.upload);
    return failure;
  }
}

/** The sums differ: nothing that was copied is to be trusted. */
class Mismatch extends Error {}

const mismatch = ({ key, target }: LargeObject, error: unknown): ObjectFailure | undefined =>
  error instanceof Mismatch ? { key, target, kind: "failed", message: error.message } : undefined;

async function complete(world: World, state: TransferState, plan: TransferPlan, object: LargeObject): Promise<void> {
  const { from, to } = world.links;
  const pieces = await allPieces(to, object);
  if (!pieces) {
    // It is over: completed by a request whose answer got lost, or by another run.
    const sum = (await state.sum(object.index)) ?? object.crc64;
    if (isCopyOf(await to.head(object.target, { crc64: true }), object, plan.begun, sum)) return;
    throw new MillraceError("conflict", `the upload of "${object.target}" is over, and its object is another one`);
  }
  checkPieces(object, pieces);
  checkSource(object, (await from.head(object.key))?.etag);
  const sum = sumOf(object, pieces);
  if (sum && object.crc64?.kind === sum.kind && object.crc64.value !== sum.value) {
    throw new Mismatch(`object "${object.key}" has the CRC ${object.crc64.value}, and its copy ${sum.value}`);
  }
  if (sum) await state.putSum(object.index, sum);
  const error = await to.completeUpload(object.upload, pieces, object.condition).then(
    () => undefined,
    (error: unknown) => error,
  );
  const made = await to.head(object.target, { crc64: true });
  // A request may fail that was done before: its answer got lost.
  if (isCopyOf(made, object, plan.begun, sum ?? object.crc64)) return;
  if (error) throw error;
  throw new Mismatch(`object "${object.target}" is not what was copied: ${made?.crc64?.value ?? "gone"}`);
}

/** Every piece; nothing if the upload is over. */
async function allPieces(to: TransferLinks["to"], { upload }: LargeObject): Promise<readonly Piece[] | undefined> {
  const found: Piece[] = [];
  let after: number | undefined = 0;
  try {
    while (after !== undefined) {
      const { pieces, next }: { pieces: readonly Piece[]; next?: number } = await to.listPieces(upload, { after });
      found.push(...pieces);
      after = next;
    }
    return found;
  } catch (error) {
    if (error instanceof MillraceError && error.kind === "not-found") return undefined;
    throw error;
  }
}

function checkPieces(object: LargeObject, pieces: readonly Piece[]): void {
  const wrong = Array.from({ length: object.pieces }, (_, index) => index + 1).find((number) => {
    const piece = pieces[number - 1];
    return piece?.number !== number || piece.size !== sizeOf(object, number);
  });
  if (wrong === undefined && pieces.length === object.pieces) return;
  throw new MillraceError(
    "failed",
    `the upload of "${object.target}" has ${pieces.length} pieces where ${object.pieces} are wanted, and piece ${wrong ?? object.pieces + 1} is not as it should be`,
  );
}

/** What the sums of all pieces come to, where the store says them. */
function sumOf({ upload: { crc64: kind } }: LargeObject, pieces: readonly Piece[]): Crc64 | undefined {
  if (kind === undefined) return undefined;
  let value = crc64(kind, new Uint8Array());
  for (const piece of pieces) {
    if (piece.crc64 === undefined) return undefined;
    value = combineCrc64(kind, value, piece.crc64, piece.size);
  }
  return { kind, value };
}
