import { join } from "node:path";
import { MillraceError } from "../../runtime/errors.ts";
import type { StreamConsumed } from "../../runtime/events.ts";
import type { Context } from "../../runtime/handler.ts";
import type { TableReader, TableWriter, VolumeMount } from "../../runtime/ports.ts";
import { crc32 } from "../../shared/archive/crc32.ts";
import { isKnown, type Line, type Member, pack } from "../../shared/archive/member.ts";
import { fileName, parseFileName } from "../../shared/archive/places.ts";
import { shortHash } from "../../shared/name.ts";
import { atOnce } from "../transfer/at-once.ts";
import { append } from "./file.ts";
import { patiently } from "./patience.ts";
import type { AppendSettings } from "./settings.ts";
import {
  type ArchiveFile,
  type FoundSlot,
  isDue,
  isHeld,
  markOf,
  type Slot,
  type SlotRow,
  Slots,
  sealed,
  withMarks,
} from "./slots.ts";
import { type ApplicationLines, ruleOf, split } from "./split.ts";
import type { ApplicationModule } from "./user-code.ts";

/** What who appends may touch. */
export interface ArchiveLinks {
  readonly slots: TableReader & TableWriter;
  readonly volume: VolumeMount;
}

/** What became of a batch. */
export interface Archived {
  readonly applications: number;
  readonly records: number;
  /** Records that had been archived before. */
  readonly duplicates: number;
}

/** Decides who may take a slot, beside the table. */
export interface SlotLock {
  /** Undefined: somebody has it. Who has it gives it back by calling the answer. */
  take(name: string, lease: number): Promise<(() => Promise<void>) | undefined>;
}

type World = Context<ArchiveLinks, AppendSettings, { readonly application?: ApplicationModule }>;

interface Work {
  readonly stream: string;
  readonly lines: ApplicationLines;
  readonly slot: number;
  readonly slots: number;
  readonly partitions: readonly number[];
}

/** Slots under way at once: what takes time is to flush, and to ask the table. */
const AT_ONCE = 16;
/** Above it files are not closed for their size or age: the row that names them is to stay small. */
const MOST_SEALED = 1000;

/** Appends a batch; it is archived as a whole when this resolves, and what fails may be given again. */
export async function archive(event: StreamConsumed, world: World, lock?: SlotLock): Promise<Archived> {
  const { settings, code, metrics } = world;
  if (!isKnown(settings.compression.codec)) {
    throw new MillraceError(
      "refused",
      `compression.codec: Node ${process.version} has no zstd here; "gzip" is everywhere`,
    );
  }
  const applications = split(event.records, ruleOf(settings.application, code.application));
  const slots = new Slots(world.links.slots);
  const works = (await atOnce(AT_ONCE, applications, (lines) => worksOf(world, slots, event.stream, lines))).flat();
  const counts = await atOnce(AT_ONCE, works, ({ work, row }) => archiveSlot(world, slots, work, row, lock));
  const records = counts.reduce((sum, count) => sum + count, 0);
  const result = { applications: applications.length, records, duplicates: event.records.length - records };
  metrics.count("archive.records", records);
  metrics.count("archive.duplicates", result.duplicates);
  return result;
}

/** What an application's slots have to do. One that has none yet gets as many as the settings say. */
async function worksOf(
  world: World,
  slots: Slots,
  stream: string,
  lines: ApplicationLines,
): Promise<readonly { readonly work: Work; readonly row: SlotRow | undefined }[]> {
  const { application, folder } = lines;
  return patiently(world, async () => {
    const rows = await slots.of(folder);
    const count = rows[0]?.value.slots ?? (await slots.register(folder, { application, slots: world.settings.files }));
    const partitions = [...lines.partitions.keys()].sort((one, other) => one - other);
    return [...new Set(partitions.map((partition) => partition % count))].map((slot) => ({
      work: {
        ...{ stream, lines, slot, slots: count },
        partitions: partitions.filter((partition) => partition % count === slot),
      },
      row: rows.find(({ value }) => value.slot === slot),
    }));
  });
}

/** The records that were archived now; the others had been. */
async function archiveSlot(
  world: World,
  slots: Slots,
  work: Work,
  row: SlotRow | undefined,
  lock: SlotLock | undefined,
): Promise<number> {
  const packed = new Packed(world, work);
  let first: SlotRow | undefined | "read" = row;
  return patiently(world, async () => {
    const known = first === "read" ? await slots.get(work.lines.folder, work.slot) : first;
    first = "read";
    const found: FoundSlot = known ?? { value: newSlot(work), version: "absent" };
    // Compressed before anybody is kept waiting.
    const { members, records } = await packed.after(found.value);
    if (records === 0) return 0;
    if (!lock) return await appendTo(world, slots, work, found, members);
    return await locked(world, lock, work, () => appendTo(world, slots, work, found, members));
  });
}

const newSlot = ({ lines: { application }, slot, slots }: Work): Slot => ({
  ...{ application, slot, slots },
  token: 0,
  sealed: [],
  marks: {},
});

async function locked<Result>(
  { settings: { lease }, log }: World,
  lock: SlotLock,
  { lines: { folder, application }, slot }: Work,
  work: () => Promise<Result>,
): Promise<Result> {
  const release = await lock.take(`${folder}/${slot}`, lease);
  if (!release) throw new MillraceError("conflict", `somebody else writes to slot ${slot} of "${application}"`);
  try {
    return await work();
  } finally {
    await release().catch((error: unknown) => log.warn("a lock stays until its time is over", { error }));
  }
}

/** What a slot has to write, compressed once for the marks it was compressed for. */
class Packed {
  readonly #world: World;
  readonly #work: Work;
  #key: string | undefined;
  #members: readonly Member[] = [];

  constructor(world: World, work: Work) {
    this.#world = world;
    this.#work = work;
  }

  async after(slot: Slot): Promise<{ readonly members: readonly Member[]; readonly records: number }> {
    const { stream, partitions, lines } = this.#work;
    const marks = partitions.map((partition) => markOf(slot, stream, partition));
    const key = marks.join();
    if (key !== this.#key) {
      const packs = await atOnce(1, [...partitions.entries()], ([index, partition]) => {
        const fresh = behind(lines.partitions.get(partition)!, marks[index]!);
        return pack(stream, partition, fresh, this.#world.settings.compression);
      });
      [this.#key, this.#members] = [key, packs.flat()];
    }
    return { members: this.#members, records: this.#members.reduce((sum, { head }) => sum + head.records, 0) };
  }
}

const behind = (lines: readonly Line[], mark: number): readonly Line[] =>
  lines[0]!.offset >= mark ? lines : lines.filter(({ offset }) => offset >= mark);

/** Takes the slot, writes, and says so. Whatever goes wrong, its file is never written again by who has failed. */
async function appendTo(
  world: World,
  slots: Slots,
  work: Work,
  found: FoundSlot,
  members: readonly Member[],
): Promise<number> {
  const { clock, links, log, metrics } = world;
  const { folder } = work.lines;
  const slot = taken(world, found.value);
  const version = await slots.put(folder, found, slot);
  const bytes = members.length === 1 ? members[0]!.bytes : Buffer.concat(members.map((member) => member.bytes));
  try {
    await append(join(links.volume.path, folder, slot.file.name), slot.file.length, bytes);
  } catch (error) {
    log.warn("a file is closed, for it was not written", { file: slot.file.name, error });
    await slots.put(folder, { version }, sealed(slot)).catch(() => {}); // then its lease ends it
    throw error;
  }
  const records = await commit(world, slots, work, { value: slot, version }, members, bytes);
  metrics.count("archive.bytes", bytes.byteLength);
  log.debug("archived", { file: slot.file.name, records, at: clock.now() });
  return records;
}

type TakenSlot = Slot & { readonly file: ArchiveFile };

/**
 * The slot as who writes has it: with the file that was given back, or with a new one.
 *
 * @throws `conflict` if somebody has it
 */
function taken({ clock, settings, run }: World, slot: Slot): TakenSlot {
  const now = clock.now();
  if (isHeld(slot, now)) {
    const { by, until } = slot.holder!;
    const end = new Date(until).toISOString();
    throw new MillraceError("conflict", `slot ${slot.slot} of "${slot.application}" is held by ${by} until ${end}`);
  }
  const holder = { by: run.id, until: now + settings.lease };
  const { file } = slot;
  const { codec } = settings.compression;
  const mayClose = slot.sealed.length < MOST_SEALED;
  const isFitting = file && !(mayClose && isDue(file, settings.seal, now)) && parseFileName(file.name)?.codec === codec;
  if (isFitting && slot.holder === undefined) return { ...slot, file, holder };
  const token = slot.token + 1;
  const tag = shortHash(`${run.id} ${run.attempt} ${now}`, 4);
  const name = fileName({ slot: slot.slot, token, tag, codec });
  const empty = { name, length: 0, crc: 0, records: 0, begun: now, earliest: 0, latest: 0 };
  return { ...sealed(slot), token, holder, file: empty };
}

/** One put: lines, marks, and the slot given back. The same put again, where nobody knows whether it was done. */
async function commit(
  world: World,
  slots: Slots,
  { stream, lines: { folder } }: Work,
  { value: slot, version }: { readonly value: TakenSlot; readonly version: string },
  members: readonly Member[],
  bytes: Uint8Array,
): Promise<number> {
  const { holder: _, ...rest } = slot;
  const file = longer(slot.file, members, bytes, world.clock.now());
  const last = Object.fromEntries(members.map(({ head }) => [head.partition, head.last + 1]));
  const given: Slot = { ...rest, file, marks: withMarks(slot.marks, stream, last) };
  const isFull = file.length >= world.settings.seal.size && slot.sealed.length < MOST_SEALED;
  const next = isFull ? sealed(given) : given;
  // If somebody else has the slot by now, or an earlier try was done all the same, the marks say what is left to do.
  await patiently(world, () => slots.put(folder, { version }, next), ["unavailable", "timed-out"]);
  return file.records - slot.file.records;
}

function longer(file: ArchiveFile, members: readonly Member[], bytes: Uint8Array, now: number): ArchiveFile {
  const heads = members.map(({ head }) => head);
  const [earliest, latest] = [heads.map((head) => head.earliest), heads.map((head) => head.latest)];
  const isFirst = file.length === 0;
  return {
    name: file.name,
    length: file.length + bytes.byteLength,
    crc: crc32(bytes, file.crc),
    records: file.records + heads.reduce((sum, { records }) => sum + records, 0),
    begun: isFirst ? now : file.begun,
    earliest: Math.min(...earliest, ...(isFirst ? [] : [file.earliest])),
    latest: Math.max(...latest, ...(isFirst ? [] : [file.latest])),
  };
}
