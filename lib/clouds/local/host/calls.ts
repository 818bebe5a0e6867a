import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { MillraceError } from "../../../runtime/errors.ts";
import type { NewRecord, ObjectInfo, Piece, PutOptions, Upload } from "../../../runtime/ports.ts";
import type { Call, LinkAddress } from "../runtime/channel.ts";
import type { FaultPoint, Faults } from "./faults.ts";
import type { JobHandle } from "./instance.ts";
import { kindOf, type Permissions, type UsedVerb } from "./permissions.ts";
import type { LocalClaim, LocalCommit } from "./stream-places.ts";

/** What a bucket is asked for on behalf of a process that reads and writes its files itself. */
export interface BucketFiles {
  /** The file with an object's content; with `into`, a link to it in that folder. */
  path(
    bucket: string,
    key: string,
    options?: { readonly ifMatch?: string; readonly into?: string },
  ): Promise<{ readonly path: string }>;
  /** Where to write a new object's content. */
  stage(): string;
  commit(bucket: string, key: string, staged: string, options?: PutOptions): Promise<ObjectInfo>;
  commitPiece(bucket: string, upload: Upload, number: number, staged: string, crc64?: string): Promise<Piece>;
}

/** Where functions keep how far they have come in streams. */
export interface ClaimLedgers {
  claim(ledger: string, stream: string, partition: number): LocalClaim | Promise<LocalClaim>;
  commit(ledger: string, stream: string, commit: LocalCommit): void | Promise<void>;
}

export interface CallsOptions {
  readonly permissions: Permissions;
  readonly buckets: BucketFiles;
  readonly claims: ClaimLedgers;
  /** A part's port with all its methods; who may call which is decided before it is asked for. */
  readonly port: (part: string, kind: LinkAddress["kind"]) => object;
  readonly faults: Faults;
}

/** Answers what handlers ask of their links: may they, does a fault hit, and what does the part say. */
export class Calls {
  readonly #options: CallsOptions;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** What one invocation of a function may ask, until it ends. */
  begin(name: string): InvocationCalls {
    return new InvocationCalls(name, this.#options);
  }
}

/** A commit as the channel carries it: what is sent to goes by the names of the function's links. */
export type CommitCall = Omit<LocalCommit, "sends"> & {
  readonly sends: readonly { readonly link: string; readonly records: readonly NewRecord[] }[];
};

type FileCall = (bucket: string, args: readonly unknown[], job: JobHandle) => Promise<unknown>;

/** What one invocation asks. */
export class InvocationCalls {
  readonly #name: string;
  readonly #options: CallsOptions;
  readonly #staged = new Set<string>();
  #objects: string | undefined;

  constructor(name: string, options: CallsOptions) {
    this.#name = name;
    this.#options = options;
  }

  /** @throws `refused` if the function is not linked so, and whatever the part says. */
  async answer({ link, method, args }: Call, job: JobHandle): Promise<unknown> {
    const { permissions, faults } = this.#options;
    const verb = permissions.check(this.#name, link, method);
    if (asksForEtag(verb, method, args)) permissions.check(this.#name, link, "head");
    const point = faultPoint(verb, method);
    const work = () => this.#do(verb, method, args, job);
    return point ? faults.around(point, verb.part, work, () => job.kill()) : work();
  }

  /**
   * Removes what the invocation has left: linked objects, and contents that never became one. What cannot be removed
   * now is removed at the next start; the invocation has ended all the same.
   */
  async end(): Promise<void> {
    const paths = [...this.#staged, ...(this.#objects === undefined ? [] : [this.#objects])];
    await Promise.allSettled(paths.map((path) => rm(path, { recursive: true, force: true })));
  }

  async #do({ part, action }: UsedVerb, method: string, args: readonly unknown[], job: JobHandle): Promise<unknown> {
    const kind = kindOf([action]);
    const onFiles = kind === "bucket" ? this.#files[method] : undefined;
    if (onFiles) return onFiles(part, args, job);
    if (action === "stream.claim") return this.#keepPlace(part, method, args);
    const port = this.#options.port(part, kind) as Readonly<Record<string, (...args: readonly unknown[]) => unknown>>;
    return port[method]!(...args);
  }

  /** The ledger is the function's own; what it sends with a commit, it must be linked to. */
  async #keepPlace(stream: string, method: string, [given]: readonly unknown[]): Promise<LocalClaim | undefined> {
    const { claims, permissions } = this.#options;
    const ledger = `${this.#name}-done`;
    if (method === "claim") return claims.claim(ledger, stream, given as number);
    const { sends, ...commit } = given as CommitCall;
    const checked = sends.map(({ link, records }) => ({
      stream: permissions.check(this.#name, link, "send").part,
      records,
    }));
    await claims.commit(ledger, stream, { ...commit, sends: checked });
    return undefined;
  }

  /** Contents stay out of the channel: the process is told a path to read from, or to write to. */
  readonly #files: Readonly<Record<string, FileCall>> = {
    open: async (bucket, [key, options]) =>
      (await this.#options.buckets.path(bucket, key as string, options as { ifMatch?: string })).path,

    file: async (bucket, [key, options], job) => {
      const into = this.#folder(job);
      return (await this.#options.buckets.path(bucket, key as string, { ...(options as object), into })).path;
    },

    stage: async () => {
      const path = this.#options.buckets.stage();
      this.#staged.add(path);
      return path;
    },

    commit: async (bucket, [key, path, options]) =>
      this.#options.buckets.commit(
        bucket,
        key as string,
        this.#takeStaged(path as string),
        options as PutOptions | undefined,
      ),

    commitPiece: async (bucket, [upload, number, path, crc64]) =>
      this.#options.buckets.commitPiece(
        bucket,
        upload as Upload,
        number as number,
        this.#takeStaged(path as string),
        crc64 as string | undefined,
      ),
  };

  #takeStaged(path: string): string {
    if (this.#staged.delete(path)) return path;
    throw new MillraceError("refused", `${path} is no place that this invocation was given to write to`);
  }

  /**
   * Beside the scratch folder, which is the handler's own and begins empty. Another one for every invocation: the next
   * one in the same scratch folder may begin before this one's objects are cleared away.
   */
  #folder({ scratch }: JobHandle): string {
    this.#objects ??= mkdtempSync(`${scratch}.objects-`);
    return this.#objects;
  }
}

/** A put on condition of an etag reads it, which every cloud wants a permission for. */
const asksForEtag = ({ action }: UsedVerb, method: string, args: readonly unknown[]): boolean =>
  action === "bucket.write" &&
  (method === "commit" || method === "completeUpload") &&
  (args[2] as PutOptions | undefined)?.ifMatch !== undefined;

/** `stage` is none: an object is put when it is committed, and one in pieces when it is completed. */
function faultPoint({ action }: UsedVerb, method: string): FaultPoint | undefined {
  if (kindOf([action]) !== "bucket") return `${kindOf([action])}.${method}` as FaultPoint;
  if (UNTOUCHED.includes(method)) return undefined;
  if (method === "commit" || method === "completeUpload") return "bucket.put";
  if (method === "commitPiece") return "bucket.piece";
  if (method === "open" || method === "file") return "bucket.read";
  return `bucket.${method}` as FaultPoint;
}

const UNTOUCHED = ["stage", "beginUpload", "listPieces", "abortUpload"];
