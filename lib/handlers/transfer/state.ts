import { MillraceError } from "../../runtime/errors.ts";
import type { BucketReader, BucketWriter, Crc64, ObjectInfo, Upload } from "../../runtime/ports.ts";

/** An object that goes whole, as it was when the transfer was planned. */
export interface SmallObject {
  readonly key: string;
  readonly target: string;
  readonly size: number;
  readonly etag: string;
  /** ISO 8601. */
  readonly modified: string;
}

/** An object that goes in pieces. */
export interface LargeObject extends SmallObject {
  /** Unique in the run, from 0. */
  readonly index: number;
  readonly upload: Upload;
  /** Bytes of every piece but the last one. */
  readonly piece: number;
  /** How many pieces. */
  readonly pieces: number;
  /** How many pieces the large objects before it have: workers share all pieces of a run. */
  readonly before: number;
  /** Of the source, where it is known. */
  readonly crc64?: Crc64;
  /** What the target has to be when the copy takes its place. */
  readonly condition: { readonly ifMatch?: string; readonly ifNoneMatch?: "*" };
  readonly contentType?: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What a run is going to do. */
export interface TransferPlan {
  /** ISO 8601: what the target holds from then on may be this run's. */
  readonly begun: string;
  /** Functions that share the work, each with a group of it. */
  readonly groups: number;
  /** Pieces of all large objects. */
  readonly pieces: number;
  readonly largePages: number;
  readonly smallPages: number;
  readonly objects: number;
  readonly bytes: number;
  /** Objects that stay as they are in the target. */
  readonly kept: number;
  /** Large objects whose upload could not be begun. */
  readonly failures: readonly ObjectFailure[];
}

/** An object that is not copied, and why. */
export interface ObjectFailure {
  readonly key: string;
  readonly target: string;
  readonly kind: GivenUp;
  readonly message: string;
}

/** Kinds of what no other try brings about. */
export type GivenUp = "conflict" | "not-found" | "bad-input" | "failed";

/** What became of one worker's small objects, and what it gave up. */
export interface GroupReport {
  readonly copied: number;
  readonly bytes: number;
  readonly kept: number;
  readonly failures: readonly ObjectFailure[];
  /** Large objects that are given up, by their index. */
  readonly lost: readonly number[];
}

/** What lies in the state bucket, and under which key. A run's state is its own; uploads are found by later runs too. */
export class TransferState {
  readonly #bucket: BucketReader & BucketWriter;
  readonly #run: string;

  constructor(bucket: BucketReader & BucketWriter, run: string) {
    this.#bucket = bucket;
    this.#run = run;
  }

  putLarge = (page: number, objects: readonly LargeObject[]): Promise<void> => this.#put(`large/${page}`, objects);
  putSmall = (page: number, objects: readonly SmallObject[]): Promise<void> => this.#put(`small/${page}`, objects);
  putPlan = (plan: TransferPlan): Promise<void> => this.#put("plan", plan);
  putReport = (group: number, report: GroupReport): Promise<void> => this.#put(`reports/${group}`, report);
  putFailures = (failures: readonly ObjectFailure[]): Promise<void> => this.#put("failures", failures);
  /** Whether nobody has begun a worker's share before. */
  begin = (group: number): Promise<boolean> =>
    this.#bucket.put(this.#key(`begun/${group}`), "{}", { ifNoneMatch: "*" }).then(
      () => true,
      (error: unknown) => {
        if (error instanceof MillraceError && error.kind === "conflict") return false;
        throw error;
      },
    );
  /** What a large object's pieces come to: written before it is completed. */
  putSum = (index: number, sum: Crc64): Promise<void> => this.#put(`sums/${index}`, sum);

  plan = (): Promise<TransferPlan> => this.#get("plan");
  small = (page: number): Promise<readonly SmallObject[]> => this.#get(`small/${page}`);
  report = (group: number): Promise<GroupReport> => this.#get(`reports/${group}`);

  sum = (index: number): Promise<Crc64 | undefined> =>
    this.#get<Crc64>(`sums/${index}`).catch((error: unknown) => {
      if (error instanceof MillraceError && error.kind === "not-found") return undefined;
      throw error;
    });

  /** The large objects, page by page. */
  async *large({ largePages }: TransferPlan): AsyncGenerator<LargeObject, undefined> {
    for (let page = 0; page < largePages; page += 1) yield* await this.#get<readonly LargeObject[]>(`large/${page}`);
    return undefined;
  }

  failuresKey = (): string => this.#key("failures");

  #key = (name: string): string => `runs/${this.#run}/${name}.json`;

  async #put(name: string, content: unknown): Promise<void> {
    await this.#bucket.put(this.#key(name), JSON.stringify(content), { contentType: "application/json" });
  }

  async #get<Content>(name: string): Promise<Content> {
    return JSON.parse(Buffer.from(await this.#bucket.get(this.#key(name))).toString()) as Content;
  }
}

/**
 * Whether what lies in the target is the copy of an object, as far as can be seen: made since the transfer began, of
 * the same size and, where the store says it, the same content.
 */
export function isCopyOf(target: ObjectInfo | undefined, { size }: SmallObject, begun: string, sum?: Crc64): boolean {
  if (!target || target.size !== size || Date.parse(target.modified) < Date.parse(begun) - CLOCKS_APART) return false;
  return sum === undefined || target.crc64?.kind !== sum.kind || target.crc64.value === sum.value;
}

/** Milliseconds by which the clocks of a store and of a function may differ. */
const CLOCKS_APART = 60_000;
