import { createInterface } from "node:readline";
import type { Clock } from "../../runtime/clock.ts";
import { MillraceError } from "../../runtime/errors.ts";
import type { FunctionInvoked } from "../../runtime/events.ts";
import type { Handler, Log } from "../../runtime/handler.ts";
import type { ObjectInfo, OwnCopies, Upload, UploadOptions } from "../../runtime/ports.ts";
import { shortHash } from "../../shared/name.ts";
import { atOnce } from "./at-once.ts";
import { readRequest, type TransferLinks, type TransferRequest, type TransferSettings } from "./settings.ts";
import { type LargeObject, type ObjectFailure, type SmallObject, TransferState } from "./state.ts";
import { givenUp } from "./tries.ts";

export interface PlanInput {
  /** The workflow's run. */
  readonly run: string;
  readonly request: unknown;
}

/** What the workflow goes on with: the lists themselves lie in the state bucket. */
export interface Planned {
  readonly groups: readonly { readonly group: number }[];
  readonly objects: number;
  readonly bytes: number;
  readonly kept: number;
}

/** No store takes more than 10,000 pieces of one object. */
const MOST_PIECES = 9000;
const MB = 2 ** 20;
/** Objects and bytes of a page of small ones: one worker's, from its first to its last. */
const SMALL_PAGE = { objects: 100, bytes: 256 * MB };
const LARGE_PAGE = 500;
/** Objects asked for at once. */
const AT_ONCE = 8;

/**
 * Pins what is to be copied, by its etags, and shares it out. Small objects go in groups; a large one has its upload
 * begun, or goes on with one that an earlier run or attempt has begun for the same content.
 */
export const handler: Handler<FunctionInvoked<PlanInput>, TransferLinks, TransferSettings, Planned> = async (
  { payload: { run, request } },
  { links, settings, signal, log, clock },
) => {
  const planner = new Planner(links, settings, new TransferState(links.state, run), clock, log);
  for await (const page of sources(links, settings, readRequest(request))) {
    signal.throwIfAborted();
    await planner.add(page);
  }
  return planner.end();
};

/** An object to be copied, and where to. */
interface Wanted {
  readonly source: ObjectInfo;
  readonly target: string;
  /** Whether all is known of it, and not only what a list says. */
  readonly isWhole: boolean;
}

/** What the request names, in pages. */
async function* sources(
  { from, to }: TransferLinks,
  { toPrefix }: TransferSettings,
  request: TransferRequest,
): AsyncGenerator<readonly Wanted[], undefined> {
  if (request.object !== undefined) {
    yield [await wanted(from, request.object, request.to ?? toPrefix + request.object, request.etag)];
  } else if (request.prefix !== undefined) {
    const { prefix } = request;
    const begin = request.to ?? toPrefix + prefix;
    checkApart(from.bucket === to.bucket, prefix, begin);
    let after: string | undefined;
    do {
      const { objects, next } = await from.list({ prefix, ...(after !== undefined && { after }) });
      yield objects.map((source) => ({ source, target: begin + source.key.slice(prefix.length), isWhole: false }));
      after = next;
    } while (after !== undefined);
  } else {
    yield* listed(from, request.manifest!, request.to ?? toPrefix);
  }
  return undefined;
}

/** A copy that lies under the prefix would be copied by the next run, and by this one as it goes. */
function checkApart(isOne: boolean, prefix: string, to: string): void {
  if (!isOne || !to.startsWith(prefix)) return;
  throw new MillraceError(
    "bad-input",
    `source and target are one bucket: copies under "${to}" lie under "${prefix}", which is copied; say another "to"`,
  );
}

async function wanted(from: TransferLinks["from"], key: string, target: string, etag?: string): Promise<Wanted> {
  const source = await from.head(key, { crc64: true });
  if (!source) throw new MillraceError("not-found", `no object "${key}" in bucket ${from.bucket}`);
  if (etag !== undefined && source.etag !== etag) {
    throw new MillraceError("conflict", `object "${key}" has the etag ${source.etag} by now, not ${etag}`);
  }
  return { source, target, isWhole: true };
}

/** What a manifest names, a page at a time. */
async function* listed(
  from: TransferLinks["from"],
  manifest: string,
  to: string,
): AsyncGenerator<readonly Wanted[], undefined> {
  const lines = createInterface({ input: await from.stream(manifest), crlfDelay: Infinity });
  let page: { readonly key: string; readonly target: string; readonly etag?: string }[] = [];
  const look = () => {
    const entries = page;
    page = [];
    return atOnce(AT_ONCE, entries, ({ key, target, etag }) => wanted(from, key, target, etag));
  };
  let line = 0;
  for await (const text of lines) {
    line += 1;
    if (text.trim() === "") continue;
    page.push(readLine(text, line, manifest, to));
    if (page.length === SMALL_PAGE.objects) yield await look();
  }
  if (page.length > 0) yield await look();
  return undefined;
}

function readLine(text: string, line: number, manifest: string, to: string) {
  if (!text.startsWith("{")) return { key: text, target: to + text };
  const { object, to: target, etag } = parse(text) as Readonly<Record<string, unknown>>;
  const isEntry = typeof object === "string" && isTextOrNothing(target) && isTextOrNothing(etag);
  if (isEntry) return { key: object, target: target ?? to + object, ...(etag !== undefined && { etag }) };
  throw new MillraceError(
    "bad-input",
    `line ${line} of ${manifest} is a key or { "object": "…", "to": "…", "etag": "…" }, got ${text.slice(0, 200)}`,
  );
}

const isTextOrNothing = (value: unknown): value is string | undefined =>
  value === undefined || typeof value === "string";

function parse(text: string): object {
  try {
    return JSON.parse(text) as object;
  } catch {
    return {};
  }
}

/** Takes what is to be copied page by page, so that a million objects never lie in memory. */
class Planner {
  readonly #links: TransferLinks;
  readonly #settings: TransferSettings;
  readonly #state: TransferState;
  readonly #log: Log;
  readonly #begun: string;
  #large: LargeObject[] = [];
  #small: SmallObject[] = [];
  #smallBytes = 0;
  readonly #failures: ObjectFailure[] = [];
  #counts = { pieces: 0, large: 0, largePages: 0, smallPages: 0, objects: 0, bytes: 0, kept: 0 };

  constructor(links: TransferLinks, settings: TransferSettings, state: TransferState, clock: Clock, log: Log) {
    this.#links = links;
    this.#settings = settings;
    this.#state = state;
    this.#log = log;
    this.#begun = new Date(clock.now()).toISOString();
  }

  async add(page: readonly Wanted[]): Promise<void> {
    const copies = await this.#links.to.ownCopies(this.#links.from);
    const isWhole = copiedWhole(copies, this.#settings);
    const isSmall = ({ source: { size } }: Wanted) => size < this.#settings.piece || isWhole(size);
    const large = page.filter((one) => !isSmall(one));
    for (const { source, target } of page) this.#checkTarget(source.key, target);
    const begun = await atOnce(AT_ONCE, large, (one) =>
      this.#begin(one, copies !== undefined).catch((error: unknown) => this.#giveUp(one, error)),
    );
    for (const one of page) {
      if (isSmall(one)) await this.#addSmall(one.source, one.target);
    }
    for (const one of begun) {
      if (one) await this.#addLarge(one);
    }
  }

  async end(): Promise<Planned> {
    if (this.#large.length > 0) await this.#flushLarge();
    if (this.#small.length > 0) await this.#flushSmall();
    const { large, ...counts } = this.#counts;
    const groups = Math.min(this.#settings.workers, counts.pieces + counts.smallPages);
    await this.#state.putPlan({ begun: this.#begun, groups, ...counts, failures: this.#failures });
    const { objects, bytes, kept } = counts;
    this.#log.info("planned", { objects, bytes, kept, large, pieces: counts.pieces, groups });
    return { groups: Array.from({ length: groups }, (_, index) => ({ group: index + 1 })), objects, bytes, kept };
  }

  /** Whether the target may be overwritten is asked by the worker, just before. */
  async #addSmall({ key, size, etag, modified }: ObjectInfo, target: string): Promise<void> {
    this.#small.push({ key, target, size, etag, modified });
    this.#counts.objects += 1;
    this.#counts.bytes += size;
    this.#smallBytes += size;
    if (this.#small.length >= SMALL_PAGE.objects || this.#smallBytes >= SMALL_PAGE.bytes) await this.#flushSmall();
  }

  async #flushSmall(): Promise<void> {
    await this.#state.putSmall(this.#counts.smallPages, this.#small);
    this.#counts.smallPages += 1;
    this.#small = [];
    this.#smallBytes = 0;
  }

  async #addLarge(one: Omit<LargeObject, "index" | "before">): Promise<void> {
    this.#large.push({ ...one, index: this.#counts.large, before: this.#counts.pieces });
    this.#counts.large += 1;
    this.#counts.pieces += one.pieces;
    this.#counts.objects += 1;
    this.#counts.bytes += one.size;
    if (this.#large.length >= LARGE_PAGE) await this.#flushLarge();
  }

  async #flushLarge(): Promise<void> {
    await this.#state.putLarge(this.#counts.largePages, this.#large);
    this.#counts.largePages += 1;
    this.#large = [];
  }

  #checkTarget(key: string, target: string): void {
    const { from, to } = this.#links;
    if (from.bucket !== to.bucket || key !== target) return;
    throw new MillraceError("bad-input", `object "${key}" would be copied to itself; say another "to"`);
  }

  /** Nothing for what stays as it is in the target, and for what is not there any more. */
  async #begin(
    { source: known, target, isWhole }: Wanted,
    copied: boolean,
  ): Promise<Omit<LargeObject, "index" | "before"> | undefined> {
    const { from, to } = this.#links;
    const [source, present] = await Promise.all([
      isWhole ? known : from.head(known.key, { crc64: true }),
      to.head(target),
    ]);
    if (!source) return undefined; // removed since it was listed
    if (present && isKept(present, source, this.#settings)) {
      this.#counts.kept += 1;
      return undefined;
    }
    const { key, size, etag, modified, contentType, metadata, crc64 } = source;
    const piece = pieceOf(size, this.#settings.piece);
    const described = { ...(contentType !== undefined && { contentType }), metadata };
    return {
      ...{ key, target, size, etag, modified, ...described },
      upload: await this.#upload(source, target, piece, { ...described, copied }),
      piece,
      pieces: Math.ceil(size / piece),
      ...(crc64 && { crc64 }),
      condition: conditionOf(present, this.#settings),
    };
  }

  /** A key that a store does not take, say: the others go on. */
  #giveUp({ source: { key }, target }: Wanted, error: unknown): undefined {
    const failure = givenUp({ key, target }, error);
    if (!failure) throw error;
    this.#failures.push(failure);
  }

  /** One upload for one content, whoever asks for it: a record in the state bucket says which. */
  async #upload(
    { key, etag, size }: ObjectInfo,
    target: string,
    piece: number,
    described: UploadOptions,
  ): Promise<Upload> {
    const { from, to, state } = this.#links;
    const identity = [from.bucket, key, etag, size, to.bucket, target, piece, JSON.stringify(described)];
    const record = `uploads/${shortHash(identity.join("\0"), 32)}.json`;
    for (;;) {
      const known = await state.head(record);
      if (known) {
        const upload = JSON.parse(Buffer.from(await state.get(record)).toString()) as Upload;
        if (await isUnderWay(to, upload)) return upload;
      }
      const upload = await to.beginUpload(target, described);
      try {
        const condition = known ? { ifMatch: known.etag } : { ifNoneMatch: "*" as const };
        await state.put(record, JSON.stringify(upload), condition);
        return upload;
      } catch (error) {
        await to.abortUpload(upload);
        if (!(error instanceof MillraceError && error.kind === "conflict")) throw error;
      }
    }
  }
}

const isUnderWay = (to: TransferLinks["to"], upload: Upload): Promise<boolean> =>
  to.listPieces(upload, { limit: 1 }).then(
    () => true,
    (error: unknown) => {
      if (error instanceof MillraceError && error.kind === "not-found") return false;
      throw error;
    },
  );

/** Whether an object goes whole, copied by the store: such copies keep to no condition on what they overwrite. */
export const copiedWhole =
  (copies: OwnCopies | undefined, { overwrites }: Pick<TransferSettings, "overwrites">) =>
  (size: number): boolean =>
    copies !== undefined && copies.whole > 0 && overwrites === "always" && size <= copies.whole;

/** The size of an object's pieces: whole megabytes. */
export const pieceOf = (size: number, least: number): number =>
  Math.max(least, Math.ceil(size / MOST_PIECES / MB) * MB);

/** Whether what lies in the target stays: it is newer than its source, say. Stores tell the time in whole seconds. */
export const isKept = (
  target: Pick<ObjectInfo, "modified">,
  source: Pick<ObjectInfo, "modified">,
  { overwrites }: Pick<TransferSettings, "overwrites">,
): boolean =>
  overwrites === "never" || (overwrites === "older" && Date.parse(target.modified) > Date.parse(source.modified));

/** What was looked at is what may be overwritten, and nothing that comes meanwhile. */
export const conditionOf = (
  target: Pick<ObjectInfo, "etag"> | undefined,
  { overwrites }: Pick<TransferSettings, "overwrites">,
): LargeObject["condition"] => {
  if (overwrites === "always") return {};
  return target ? { ifMatch: target.etag } : { ifNoneMatch: "*" };
};
