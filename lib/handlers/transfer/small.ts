import { MillraceError } from "../../runtime/errors.ts";
import type { Context } from "../../runtime/handler.ts";
import { atOnce } from "./at-once.ts";
import { conditionOf, isKept } from "./plan.ts";
import type { Progress } from "./progress.ts";
import { readWhole } from "./read-whole.ts";
import type { TransferLinks, TransferSettings } from "./settings.ts";
import type { GroupReport, ObjectFailure, SmallObject, TransferPlan, TransferState } from "./state.ts";
import { givenUp, tried } from "./tries.ts";

type World = Context<TransferLinks, TransferSettings>;
type Outcome = "copied" | "kept" | "left" | ObjectFailure;

/** Objects under way at once. */
const AT_ONCE = 16;

export interface SmallCopied {
  readonly report: Omit<GroupReport, "lost">;
  /** Objects there was no time for. */
  readonly left: number;
}

/** Copies a worker's small objects, each in one go. */
export async function copySmall(
  world: World,
  state: TransferState,
  plan: TransferPlan,
  group: number,
  until: number,
  progress: Progress,
): Promise<SmallCopied> {
  let [copied, bytes, kept, left] = [0, 0, 0, 0];
  const failures: ObjectFailure[] = [];
  for (let page = group - 1; page < plan.smallPages; page += plan.groups) {
    const objects = await state.small(page);
    const outcomes = await atOnce(AT_ONCE, objects, async (object): Promise<Outcome> => {
      world.signal.throwIfAborted();
      return world.clock.now() >= until ? "left" : copyOne(world, object, plan, progress);
    });
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome === "copied") [copied, bytes] = [copied + 1, bytes + objects[index]!.size];
      else if (outcome === "kept") kept += 1;
      else if (outcome === "left") left += 1;
      else failures.push(outcome);
    }
  }
  return { report: { copied, bytes, kept, failures }, left };
}

async function copyOne(world: World, object: SmallObject, plan: TransferPlan, progress: Progress): Promise<Outcome> {
  try {
    return await tried(world, () => copyWhole(world, object, plan, progress));
  } catch (error) {
    const failure = givenUp(object, error);
    if (failure) return failure;
    throw error;
  }
}

/** The source is looked at once more when it has been read: what changed meanwhile must not come after what is newer. */
async function copyWhole(
  { links: { from, to }, settings, signal }: World,
  object: SmallObject,
  { begun }: TransferPlan,
  progress: Progress,
): Promise<Outcome> {
  const { key, target, size, etag } = object;
  const present = await to.head(target);
  if (present && isKept(present, object, settings)) {
    progress.skip(size);
    // What came since the plan was made is an earlier attempt's.
    return present.size === size && Date.parse(present.modified) >= Date.parse(begun) ? "copied" : "kept";
  }
  const body = await readWhole(await from.stream(key, { ifMatch: etag }), Buffer.allocUnsafe(size), key, signal);
  const source = await from.head(key);
  checkSource(object, source?.etag);
  const { contentType, metadata } = source!;
  const described = { ...(contentType !== undefined && { contentType }), metadata };
  await to.put(target, body, { ...described, ...conditionOf(present, settings) });
  progress.add(size);
  return "copied";
}

/** @throws `conflict` if the object is not the one that was pinned */
export function checkSource({ key, etag }: SmallObject, found: string | undefined): void {
  if (found === etag) return;
  throw new MillraceError(
    "conflict",
    `object "${key}" changed while it was copied: its etag is ${found ?? "gone"}, not ${etag}`,
  );
}
