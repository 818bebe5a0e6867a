import type { Readable } from "node:stream";
import type { Crc64Kind } from "./crc64.ts";
import type { ReadOptions, StreamPage } from "./streams.ts";
import type { SubmitOptions, Task, TaskAudit, TaskFilter, TaskPage } from "./tasks/task.ts";
import type { Answer, WorkflowFilter, WorkflowHistory, WorkflowPage, WorkflowRun } from "./workflows/run.ts";

/** What a bucket says of an object. */
export interface ObjectInfo {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Changes whenever the content does. */
  readonly etag: string;
  /** ISO 8601. */
  readonly modified: string;
  readonly contentType?: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Of the whole content, where it was asked for and the store knows it. */
  readonly crc64?: Crc64;
}

/** A CRC-64, as 16 hexadecimal digits. */
export interface Crc64 {
  readonly kind: Crc64Kind;
  readonly value: string;
}

export interface HeadOptions {
  /** Whether to ask for the CRC-64 of the content. @default no */
  readonly crc64?: boolean;
}

export interface GetOptions {
  /** First and last byte, both included. @default the whole object */
  readonly range?: readonly [first: number, last: number];
  /** Refused (`conflict`) if the object's etag is another one. */
  readonly ifMatch?: string;
}

/** Reads objects. A missing object is `undefined` to `head` and a `not-found` error to all else. */
export interface BucketReader {
  /** The bucket's logical name. */
  readonly bucket: string;
  head(key: string, options?: HeadOptions): Promise<ObjectInfo | undefined>;
  get(key: string, options?: GetOptions): Promise<Uint8Array>;
  stream(key: string, options?: GetOptions): Promise<Readable>;
  /** A path that holds the object's content until the invocation ends; not to be written to. */
  file(key: string, options?: Pick<GetOptions, "ifMatch">): Promise<string>;
  /** In the keys' byte order; `next` goes into `after`. @default at most 1,000 objects */
  list(options?: { readonly prefix?: string; readonly after?: string; readonly limit?: number }): Promise<{
    readonly objects: readonly ObjectInfo[];
    readonly next?: string;
  }>;
}

export interface PutOptions {
  /** @default application/octet-stream */
  readonly contentType?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Refused (`conflict`) unless the object's etag is this one. It is looked at: `all(read(bucket), write(bucket))`. */
  readonly ifMatch?: string;
  /** `"*"`: refused (`conflict`) if there is an object already. */
  readonly ifNoneMatch?: "*";
}

/** Writes objects. An object appears whole or not at all. */
export interface BucketWriter {
  readonly bucket: string;
  put(key: string, body: Uint8Array | string | Readable, options?: PutOptions): Promise<ObjectInfo>;
  /** Puts a file's content; the file may be moved away. */
  putFile(key: string, path: string, options?: PutOptions): Promise<ObjectInfo>;
}

/**
 * An object that comes in pieces, from any number of processes. It is nothing until it is completed: then it appears
 * whole. Plain JSON, to be handed on.
 */
export interface Upload {
  readonly key: string;
  /** The store's own name of it. */
  readonly id: string;
  /** The CRC-64 that the store says of its pieces and of the object. Absent: none. */
  readonly crc64?: Crc64Kind;
}

/** A piece of an upload, as the store has it. */
export interface Piece {
  /** From 1 to 10,000; the object's content is all pieces in this order. */
  readonly number: number;
  /** Bytes. */
  readonly size: number;
  readonly etag: string;
  /** Of the upload's kind, as 16 hexadecimal digits. */
  readonly crc64?: string;
}

/** What a store copies by itself, without anybody reading it. */
export interface ObjectSource {
  readonly from: BucketReader;
  readonly key: string;
  /** Refused (`conflict`) if the object's etag is another one. */
  readonly ifMatch: string;
}

export interface PieceSource extends ObjectSource {
  /** First and last byte, both included. */
  readonly range: readonly [first: number, last: number];
}

export interface UploadOptions extends Pick<PutOptions, "contentType" | "metadata"> {
  /** Whether its pieces are to be copied by the store itself, as far as it does. @default no */
  readonly copied?: boolean;
}

/** What a store copies of another bucket by itself. */
export interface OwnCopies {
  /** The largest object, in bytes, that it copies in one request. 0: none, and pieces alone. */
  readonly whole: number;
}

/**
 * Writes objects in pieces, each by whoever has the upload. The store remembers which pieces there are, so that others
 * go on where somebody stopped. An upload that is over, completed or aborted, is `not-found` to all but `abort`.
 */
export interface BucketUploader {
  readonly bucket: string;
  /** Nothing where the store does not reach the other one. */
  ownCopies(from: BucketReader): Promise<OwnCopies | undefined>;
  /** Lets the store copy an object by itself, with its type and metadata, over what is there: of `ownCopies` at most. */
  copyObject(key: string, source: ObjectSource): Promise<void>;
  beginUpload(key: string, options?: UploadOptions): Promise<Upload>;
  /**
   * Puts a piece in the place of one that may be there: at least 5 MiB, but for the last one.
   *
   * @param crc64 of the upload's kind; another content than this is refused
   */
  putPiece(upload: Upload, number: number, body: Uint8Array, crc64?: string): Promise<Piece>;
  /** Lets the store copy a piece by itself. Nothing where it does not reach the source, or knows no such copies. */
  copyPiece(upload: Upload, number: number, source: PieceSource): Promise<Piece | undefined>;
  /** By their numbers; `next` goes into `after`. @default at most 1,000 pieces, from the first one */
  listPieces(
    upload: Upload,
    options?: { readonly after?: number; readonly limit?: number },
  ): Promise<{ readonly pieces: readonly Piece[]; readonly next?: number }>;
  /** Makes the object of all its pieces. An upload whose condition does not hold (`conflict`) stays. */
  completeUpload(
    upload: Upload,
    pieces: readonly Piece[],
    options?: Pick<PutOptions, "ifMatch" | "ifNoneMatch">,
  ): Promise<ObjectInfo>;
  /** Removes the pieces; what is over already is no error. */
  abortUpload(upload: Upload): Promise<void>;
}

/** Removes objects; removing what is not there is no error. */
export interface BucketRemover {
  readonly bucket: string;
  remove(key: string): Promise<void>;
}

export interface SendOptions {
  readonly attributes?: Readonly<Record<string, string>>;
  /** Seconds until it can be received. @default at once */
  readonly delay?: number;
  /** A second message with the same key is not queued again, where the cloud can tell. */
  readonly deduplication?: string;
}

export interface QueueSender {
  readonly queue: string;
  /** The message's id. */
  send(body: string, options?: SendOptions): Promise<string>;
}

export interface Message {
  readonly id: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly receives: number;
  /** ISO 8601. */
  readonly time: string;
  /** What `acknowledge` and `extend` want; another one at every delivery. */
  readonly receipt: string;
}

export interface QueueReceiver {
  readonly queue: string;
  /** Up to `limit` messages that are hidden from others until acknowledged or their visibility ends. */
  receive(options?: { readonly limit?: number }): Promise<readonly Message[]>;
  acknowledge(receipt: string): Promise<void>;
  /** Keeps the message hidden for that many seconds from now; 0 gives it back. */
  extend(receipt: string, seconds: number): Promise<void>;
}

export interface Row<Value = unknown> {
  readonly partition: string;
  readonly sort: string;
  readonly value: Value;
  /** Changes with every put. */
  readonly version: string;
  /** Milliseconds since 1970; an expired row is never answered. */
  readonly expires?: number;
}

/** Reads rows, as they were last put: what is conditional on a version relies on it. */
export interface TableReader {
  get<Value>(partition: string, sort: string): Promise<Row<Value> | undefined>;
  /**
   * Rows of one partition in the byte order of `sort`; `next` goes into `after`, which may be any text: what sorts
   * behind it follows. @default at most 1,000 rows
   */
  query<Value>(
    partition: string,
    options?: { readonly prefix?: string; readonly after?: string; readonly limit?: number },
  ): Promise<{ readonly rows: readonly Row<Value>[]; readonly next?: string }>;
}

export interface TableWriter {
  /** The new version. `ifVersion` refuses (`conflict`) a row of another version; `"absent"`, any row. */
  put(
    partition: string,
    sort: string,
    value: unknown,
    options?: { readonly ifVersion?: string; readonly expires?: number },
  ): Promise<string>;
  remove(partition: string, sort: string, options?: { readonly ifVersion?: string }): Promise<void>;
}

export interface SecretReader {
  value(): Promise<string>;
}

/** A folder that outlives the invocation and is shared by every function that mounts it. */
export interface VolumeMount {
  readonly path: string;
}

export interface FunctionInvoker<Payload = unknown, Result = unknown> {
  /** Waits for the answer. */
  invoke(payload: Payload): Promise<Result>;
}

/** Starts tasks; what a dispatcher is given. */
export interface TaskSubmitter {
  submit(id: string, payload: unknown, options?: SubmitOptions): Promise<Task>;
}

/** Watches and steers tasks. */
export interface TaskController {
  get(id: string): Promise<Task | undefined>;
  list(filter?: TaskFilter): Promise<TaskPage>;
  /** With the whole of what went in and came out. */
  audit(id: string): Promise<TaskAudit | undefined>;
  stop(id: string): Promise<Task>;
  retry(id: string): Promise<Task>;
}

/** Starts runs of a workflow. */
export interface WorkflowStarter<Input = unknown> {
  /** Answers the run that has this id already, as `WorkflowClient.start` does. */
  start(id: string, input: Input): Promise<WorkflowRun>;
}

/** Watches and steers runs of a workflow. */
export interface WorkflowController {
  get(id: string): Promise<WorkflowHistory | undefined>;
  list(filter?: WorkflowFilter): Promise<WorkflowPage>;
  stop(id: string): Promise<WorkflowRun>;
  retry(id: string): Promise<WorkflowRun>;
}

/** Answers steps that wait for somebody outside. */
export interface WorkflowAnswerer {
  answer(callback: string, answer: Answer): Promise<void>;
}

/** A record to be appended. */
export interface NewRecord {
  /** Records of one key are in one partition, and so in order. @default none: any partition */
  readonly key?: Uint8Array | string;
  /** @default none, which says in some streams that the key is gone */
  readonly value?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, Uint8Array | string>>;
  /** Milliseconds since 1970. @default now */
  readonly timestamp?: number;
  /** @default by the key */
  readonly partition?: number;
}

/** Reads records where they lie: nobody's place in the stream moves. */
export interface StreamReader {
  readonly stream: string;
  /** What the Kafka calls it, and with it whatever tells of its records. */
  readonly topic: string;
  /** Committed records of one partition, in order. */
  read(options: ReadOptions): Promise<StreamPage>;
}

/** Appends records. */
export interface StreamProducer {
  readonly stream: string;
  /** Resolves once the stream keeps all of them, in this order in each partition. A call that fails may have kept some. */
  send(records: readonly NewRecord[]): Promise<void>;
}

/**
 * Keeps how far a function has come in a stream, apart from what triggers it: a platform that gives a batch again does
 * not know what came of it.
 */
export interface StreamClaimer {
  readonly stream: string;
  /**
   * Takes a partition over: whoever had it before commits nothing any more.
   *
   * @throws unavailable while the stream does not answer
   */
  claim(partition: number): Promise<PartitionClaim>;
}

/** What one function alone may say of a partition, until somebody else claims it. */
export interface PartitionClaim {
  readonly partition: number;
  /** The offset that everything before is done; undefined: nothing ever was. */
  readonly next: number | undefined;
  /**
   * Says that everything before `next` is done, and appends what came of it: both or neither. Readers of committed
   * records see them once, whatever fails.
   *
   * @param sends to streams of the same Kafka
   * @throws conflict if somebody else has claimed the partition since; refused if a stream is of another Kafka
   */
  commit(next: number, sends?: readonly StreamSend[]): Promise<void>;
}

/** Records for one stream. */
export interface StreamSend {
  readonly to: StreamProducer;
  readonly records: readonly NewRecord[];
}
