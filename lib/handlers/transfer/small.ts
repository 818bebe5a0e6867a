import { crc64 } from "../../runtime/crc64.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { Context } from "../../runtime/handler.ts";
import type { ObjectInfo } from "../../runtime/ports.ts";
import { atOnce } from "./at-once.ts";
import { conditionOf, copiedWhole, isKept } from "./plan.ts";
import type { Progress } from "./progress.ts";
import { readWhole } from "./read-whole.ts";
import type { TransferLinks, TransferSettings } from "./settings.ts";
import type { GroupReport, ObjectFailure, SmallObject, TransferPlan, TransferState } from "./state.ts";
import { givenUp, tried } from "./tries.ts";

type World = Context<TransferLinks, TransferSettings>;
type Outcome = "copied" | "kept" | "left" | ObjectFailure;

/** Objects under way at once, if they fit into memory. */
const AT_ONCE = 16;

export interface SmallCopied {
  readonly report: Omit<GroupReport, "lost">;
  /** Objects there was no time for. */
  readonly left: number;
}

/**
 * Copies a worker's small objects, each in one go.
 *
 * @param isFirst whether nobody has copied any of them before
 */
export async function copySmall(
  world: World,
  state: TransferState,
  plan: TransferPlan,
  group: number,
  isFirst: boolean,
  until: number,
  progress: Progress,
): Promise<SmallCopied> {
  const { links, settings } = world;
  const byStore = copiedWhole(await links.to.ownCopies(links.from), settings);
  const copier = new Copier(world, plan, isFirst, byStore, progress);
  let [copied, bytes, kept, left] = [0, 0, 0, 0];
  const failures: ObjectFailure[] = [];
  for (let page = group - 1; page < plan.smallPages; page += plan.groups) {
    const objects = await state.small(page);
    const outcomes = await atOnce(copier.atOnce(objects), objects, async (object): Promise<Outcome> => {
      world.signal.throwIfAborted();
      return world.clock.now() >= until ? "left" : copier.copy(object);
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

class Copier {
  readonly #world: World;
  readonly #begun: number;
  readonly #isFirst: boolean;
  /** What the store copies by itself. */
  readonly #byStore: (size: number) => boolean;
  readonly #progress: Progress;

  constructor(
    world: World,
    { begun }: TransferPlan,
    isFirst: boolean,
    byStore: (size: number) => boolean,
    progress: Progress,
  ) {
    this.#world = world;
    this.#begun = Math.floor(Date.parse(begun) / 1000) * 1000; // stores tell the time in whole seconds
    this.#isFirst = isFirst;
    this.#byStore = byStore;
    this.#progress = progress;
  }

  /** As many as fit into memory; what the store copies takes none. */
  atOnce(objects: readonly SmallObject[]): number {
    const largest = Math.max(1, ...objects.map(({ size }) => (this.#byStore(size) ? 0 : size)));
    return Math.max(1, Math.min(AT_ONCE, Math.floor(this.#world.settings.buffer / largest)));
  }

  async copy(object: SmallObject): Promise<Outcome> {
    let isUntouched = this.#isFirst;
    const work = (): Promise<Outcome> => {
      const isFirst = isUntouched;
      isUntouched = false;
      return this.#copy(object, isFirst);
    };
    try {
      return await tried(this.#world, work);
    } catch (error) {
      const { key, target } = object;
      if (error instanceof Damaged) return { key, target, kind: "failed", message: error.message };
      const failure = givenUp(object, error);
      if (failure) return failure;
      throw error;
    }
  }

  /** @param isFirst whether what is in the target cannot be an earlier try's */
  async #copy(object: SmallObject, isFirst: boolean): Promise<Outcome> {
    const { links, settings } = this.#world;
    const present = await links.to.head(object.target);
    const isOurs = !isFirst && present !== undefined && (await this.#isCopy(present, object));
    if (present && (isOurs || isKept(present, object, settings))) {
      this.#progress.skip(object.size);
      return isOurs ? "copied" : "kept";
    }
    await (this.#byStore(object.size) ? this.#copyByStore(object) : this.#copyThrough(object, present));
    this.#progress.add(object.size);
    return "copied";
  }

  /** Whether what is in the target came since the plan was made, with the source's content. */
  async #isCopy(present: ObjectInfo, { key, target, size, etag }: SmallObject): Promise<boolean> {
    if (present.size !== size || Date.parse(present.modified) < this.#begun) return false;
    // Most stores' etags are made of the content, some in capitals.
    if (present.etag.toLowerCase() === etag.toLowerCase()) return true;
    const { from, to } = this.#world.links;
    const [source, made] = await Promise.all([from.head(key, { crc64: true }), to.head(target, { crc64: true })]);
    return source?.etag === etag && areEqual(source, made) === true;
  }

  /** The store looks at the source's etag, and copies what has it. */
  async #copyByStore({ key, target, etag: ifMatch }: SmallObject): Promise<void> {
    const { from, to } = this.#world.links;
    await to.copyObject(target, { from, key, ifMatch });
    const [source, made] = await Promise.all([from.head(key, { crc64: true }), to.head(target, { crc64: true })]);
    if (source?.etag === ifMatch && areEqual(source, made) === false) throw damaged(key, source, made?.crc64?.value);
  }

  /** The source is looked at once more when it has been read: what changed meanwhile must not come after what is newer. */
  async #copyThrough(object: SmallObject, present: ObjectInfo | undefined): Promise<void> {
    const { links, settings, signal } = this.#world;
    const { key, target, size, etag } = object;
    const stream = await links.from.stream(key, { ifMatch: etag });
    const body = await readWhole(stream, Buffer.allocUnsafe(size), key, signal);
    const source = await links.from.head(key, { crc64: true });
    checkSource(object, source?.etag);
    const { contentType, metadata, crc64: sum } = source!;
    const read = sum && crc64(sum.kind, body);
    if (read !== sum?.value) throw damaged(key, source!, read);
    const described = { ...(contentType !== undefined && { contentType }), metadata };
    await links.to.put(target, body, { ...described, ...conditionOf(present, settings) });
  }
}

/** What came is not what was sent: another try may bring it. */
class Damaged extends MillraceError {}

const damaged = (key: string, { crc64: sum }: ObjectInfo, found: string | undefined): Damaged =>
  new Damaged("failed", `object "${key}" has the CRC ${sum?.value}, and its copy ${found}`);

/** Whether two objects have one content; nothing where the stores do not say. */
const areEqual = ({ crc64: one }: ObjectInfo, other: ObjectInfo | undefined): boolean | undefined =>
  one && other?.crc64?.kind === one.kind ? other.crc64.value === one.value : undefined;

/** @throws `conflict` if the object is not the one that was pinned */
export function checkSource({ key, etag }: SmallObject, found: string | undefined): void {
  if (found === etag) return;
  throw new MillraceError(
    "conflict",
    `object "${key}" changed while it was copied: its etag is ${found ?? "gone"}, not ${etag}`,
  );
}
