import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { checkGet, checkKey, noObject, pageLimit } from "../../../runtime/conditions.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import { checkRange, decodeMetadata, encodeMetadata, keepFile, unquoted } from "../../../runtime/objects.ts";
import { following, inPieces, inTurn, type Pieces, slices } from "../../../runtime/pieces.ts";
import type {
  BucketReader,
  BucketRemover,
  BucketUploader,
  BucketWriter,
  GetOptions,
  HeadOptions,
  ObjectInfo,
  ObjectSource,
  OwnCopies,
  Piece,
  PieceSource,
  PutOptions,
  Upload,
  UploadOptions,
} from "../../../runtime/ports.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask, type RequestOptions } from "./ask.ts";
import { copySource, DAMAGED, fromBase64, S3Uploads } from "./s3-uploads.ts";

/** Larger objects go in parts of this size, in bytes; what is shorter goes in one request. */
const PART = 8 * 2 ** 20;
/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MOST_PARTS = 10_000;
/** Parts of an object under way at once. */
const AT_ONCE = 3;
/** The largest object that goes in one request when the store copies it, in bytes: larger ones are faster in parts at once. */
const WHOLE = 64 * 2 ** 20;
/** Milliseconds that a store may be silent while it puts parts together, or copies: some say nothing until it is done. */
const PATIENCE = 600_000;

export { worldBy } from "./account.ts";

/**
 * A bucket of S3, or of another store that speaks its language, if the address has an `endpoint`.
 *
 * Uploads in parts are made here and not by `@aws-sdk/lib-storage`: that one answers an abort while its parts are still
 * under way, which then stay behind.
 */
export const port = (
  address: LinkAddress,
  world: AwsWorld,
): BucketReader & BucketWriter & BucketUploader & BucketRemover => new S3Bucket(address, world);

class S3Bucket implements BucketReader, BucketWriter, BucketUploader, BucketRemover {
  readonly bucket: string;
  readonly #name: string;
  readonly #client: S3Client;
  /** For requests that take long; few functions have any. */
  readonly #patient: () => S3Client;
  readonly #world: AwsWorld;
  readonly #endpoint: string | undefined;
  readonly #uploads: S3Uploads;

  constructor(address: LinkAddress, world: AwsWorld) {
    this.bucket = address.part;
    this.#name = field(address, "bucket");
    this.#world = world;
    const { endpoint } = address;
    this.#endpoint = endpoint;
    const client = (silence?: number) =>
      new S3Client({
        ...clientSettings(world, field(address, "region"), endpoint, silence),
        // Other stores need not know the checksums that S3 added to its protocol.
        ...(endpoint !== undefined && {
          forcePathStyle: true,
          requestChecksumCalculation: "WHEN_REQUIRED",
          responseChecksumValidation: "WHEN_REQUIRED",
        }),
      });
    this.#client = client();
    let patient: S3Client | undefined;
    this.#patient = () => (patient ??= client(PATIENCE));
    const clients = { client: this.#client, patient: this.#patient };
    this.#uploads = new S3Uploads({ bucket: this.bucket, name: this.#name, ...clients, world });
  }

  async head(key: string, { crc64 = false }: HeadOptions = {}): Promise<ObjectInfo | undefined> {
    const command = new HeadObjectCommand({ ...this.#object(key), ...(crc64 && { ChecksumMode: "ENABLED" }) });
    const answer = await this.#ask("head", key, (options) => this.#client.send(command, options)).catch(
      ifMissing(undefined),
    );
    return answer && infoOf(key, answer);
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    const body = await this.stream(key, options);
    return this.#ask("get", key, () => buffer(body));
  }

  async stream(key: string, { range, ifMatch }: GetOptions = {}): Promise<Readable> {
    checkRange(key, range);
    const command = new GetObjectCommand({
      ...this.#object(key),
      ...(range && { Range: `bytes=${range[0]}-${range[1]}` }),
      ...(ifMatch !== undefined && { IfMatch: `"${ifMatch}"` }),
    });
    const answer = await this.#ask("get", key, (options) => this.#client.send(command, options)).catch((error) => {
      throw isMissing(error) ? noObject(this.bucket, key) : error;
    });
    return answer.Body as Readable;
  }

  /** Read once; a second call for the same content answers the same file. */
  async file(key: string, options: Pick<GetOptions, "ifMatch"> = {}): Promise<string> {
    const info = await this.head(key);
    if (!info) throw noObject(this.bucket, key);
    checkGet(info, options);
    const { files: folder, signal } = this.#world;
    return keepFile({ folder, content: [this.#name, key, info.etag], signal }, () =>
      this.stream(key, { ifMatch: info.etag }),
    );
  }

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html */
  async list({ prefix, after, limit }: Parameters<BucketReader["list"]>[0] = {}) {
    const command = new ListObjectsV2Command({
      Bucket: this.#name,
      MaxKeys: pageLimit(limit),
      EncodingType: "url", // XML cannot hold every character of a key
      ...(prefix && { Prefix: prefix }),
      ...(after && { StartAfter: after }),
    });
    const page = await this.#ask("list", prefix ?? "", (options) => this.#client.send(command, options));
    const decode = page.EncodingType === "url" ? decodeKey : (key: string) => key;
    const objects = (page.Contents ?? []).map(({ Key = "", Size = 0, ETag, LastModified }) => ({
      key: decode(Key),
      size: Size,
      etag: unquoted(ETag),
      modified: toIso(LastModified),
      metadata: {},
    }));
    const last = objects.at(-1);
    return { objects, ...(page.IsTruncated && last && { next: last.key }) };
  }

  async put(key: string, body: Uint8Array | string | Readable, options: PutOptions = {}): Promise<ObjectInfo> {
    checkS3Key(key);
    if (typeof body === "string") return this.#putWhole(key, Buffer.from(body), options);
    if (body instanceof Uint8Array) {
      return body.byteLength <= 2 * PART
        ? this.#putWhole(key, body, options)
        : this.#putParts(key, slices(body, PART), options);
    }
    const ending = new AbortController();
    const pieces = inPieces(body, PART, AbortSignal.any([this.#world.signal, ending.signal]));
    const first = await pieces.next();
    const second = first.done ? first : await pieces.next();
    if (first.done) return this.#putWhole(key, new Uint8Array(), options);
    if (second.done) return this.#putWhole(key, first.value, options);
    return this.#putParts(key, following([first.value, second.value], pieces), options, () => ending.abort());
  }

  async putFile(key: string, path: string, options: PutOptions = {}): Promise<ObjectInfo> {
    checkS3Key(key);
    const handle = await open(path).catch(() => undefined);
    if (!handle) throw new MillraceError("not-found", `putFile: there is no file ${path}`);
    try {
      const { size } = await handle.stat();
      const part = Math.max(PART, Math.ceil(size / MOST_PARTS));
      if (size <= 2 * PART) return await this.#putWhole(key, await handle.readFile(), options);
      const read = async (from: number) => {
        const bytes = new Uint8Array(Math.min(part, size - from));
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, from);
        if (bytesRead === bytes.length) return bytes;
        throw new MillraceError("conflict", `putFile: ${path} became shorter while it was read`);
      };
      const pieces = Array.from({ length: Math.ceil(size / part) }, (_, index) => () => read(index * part));
      return await this.#putParts(key, pieces, options);
    } finally {
      await handle.close();
    }
  }

  async ownCopies(from: BucketReader): Promise<OwnCopies | undefined> {
    return from instanceof S3Bucket && this.#reaches(from) ? { whole: WHOLE } : undefined;
  }

  /** Without tags, which it would take another permission to read. https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html */
  async copyObject(key: string, { from, ...source }: ObjectSource): Promise<void> {
    checkS3Key(key);
    if (!(from instanceof S3Bucket))
      throw new MillraceError("bad-input", `copyObject "${key}": ${from.bucket} is no S3`);
    const command = new CopyObjectCommand({
      ...this.#object(key),
      ...copySource({ ...source, bucket: from.#name }),
      TaggingDirective: "REPLACE",
    });
    await this.#ask("copy", key, (options) => this.#patient().send(command, options));
  }

  /**
   * What other stores say of copied parts need not be theirs (versitygw 1.8 says the source's sum): where none is asked
   * for, they sum up what they have, and say it of the object.
   */
  beginUpload(key: string, { copied = false, ...options }: UploadOptions = {}): Promise<Upload> {
    checkS3Key(key);
    return this.#uploads.begin(key, described(options), !(copied && this.#endpoint !== undefined));
  }

  putPiece = (upload: Upload, number: number, body: Uint8Array, crc64?: string): Promise<Piece> =>
    this.#uploads.put(upload, number, body, crc64);

  async copyPiece(upload: Upload, number: number, { from, ...source }: PieceSource): Promise<Piece | undefined> {
    if (!(from instanceof S3Bucket) || !this.#reaches(from)) return undefined;
    return this.#uploads.copy(upload, number, { ...source, bucket: from.#name });
  }

  listPieces = (upload: Upload, options?: { readonly after?: number; readonly limit?: number }) =>
    this.#uploads.list(upload, options);

  async completeUpload(
    upload: Upload,
    pieces: readonly Piece[],
    options: Pick<PutOptions, "ifMatch" | "ifNoneMatch"> = {},
  ): Promise<ObjectInfo> {
    let dated = () => "";
    const { ETag } = await this.#uploads.complete(upload, pieces, conditions(options), (command) => {
      dated = withDate(command);
    });
    const size = pieces.reduce((sum, piece) => sum + piece.size, 0);
    return { key: upload.key, size, etag: unquoted(ETag), modified: dated(), metadata: {} };
  }

  abortUpload = (upload: Upload): Promise<void> => this.#uploads.abort(upload);

  async remove(key: string): Promise<void> {
    checkS3Key(key);
    await this.#ask("remove", key, (options) =>
      this.#client.send(new DeleteObjectCommand(this.#object(key)), options),
    ).catch(ifMissing(undefined));
  }

  /** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
  async #putWhole(key: string, body: Uint8Array, options: PutOptions): Promise<ObjectInfo> {
    const command = new PutObjectCommand({
      ...this.#object(key),
      ...described(options),
      ...conditions(options),
      Body: body,
    });
    const dated = withDate(command);
    const answer = await this.#put(key, (request) => this.#client.send(command, request));
    return putInfo({ key, size: body.byteLength, etag: answer.ETag, modified: dated() }, options);
  }

  /** The object appears with the last request. Parts of one that does not come so far are removed at once. */
  async #putParts(key: string, pieces: Pieces, options: PutOptions, giveUp?: () => void): Promise<ObjectInfo> {
    const begin = new CreateMultipartUploadCommand({ ...this.#object(key), ...described(options) });
    const { UploadId } = await this.#put(key, (request) => this.#client.send(begin, request));
    const upload = { ...this.#object(key), UploadId };
    try {
      const { tags, size } = await this.#sendParts(key, upload, pieces, giveUp);
      const complete = new CompleteMultipartUploadCommand({
        ...upload,
        ...conditions(options),
        MultipartUpload: { Parts: tags.map((ETag, index) => ({ ETag, PartNumber: index + 1 })) },
      });
      const dated = withDate(complete);
      const answer = await this.#put(key, (request) => this.#client.send(complete, request));
      return putInfo({ key, size, etag: answer.ETag, modified: dated() }, options);
    } catch (error) {
      await this.#abandon(key, upload);
      throw error;
    }
  }

  async #sendParts(key: string, upload: OwnUpload, pieces: Pieces, giveUp?: () => void) {
    const tags: string[] = [];
    let size = 0;
    const sendOne = async (index: number, Body: Uint8Array) => {
      if (index >= MOST_PARTS) throw tooLong(key);
      const command = new UploadPartCommand({ ...upload, PartNumber: index + 1, Body });
      const { ETag = "" } = await this.#put(key, (request) => this.#client.send(command, request));
      tags[index] = ETag;
      size += Body.byteLength;
    };
    await inTurn(pieces, AT_ONCE, sendOne, giveUp);
    return { tags, size };
  }

  /** With a signal of its own: an upload is abandoned just when the other one has aborted. */
  async #abandon(key: string, upload: OwnUpload): Promise<void> {
    const abortSignal = AbortSignal.timeout(10_000);
    await this.#client.send(new AbortMultipartUploadCommand(upload), { abortSignal }).catch((error: unknown) => {
      this.#world.log.warn(`${this.#what("put", key)}: its parts are left to the bucket's lifecycle`, { error });
    });
  }

  /**
   * A condition on an object that is gone does not hold; to S3 it is not found. An upload that is gone was ended by a
   * request whose answer got lost, or by somebody else.
   */
  #put<Answer>(key: string, request: (options: RequestOptions) => Promise<Answer>): Promise<Answer> {
    return ask(this.#what("put", key), this.#world, request, {
      ...DAMAGED,
      NoSuchKey: "conflict",
      NoSuchUpload: "unavailable",
    });
  }

  #ask<Answer>(verb: string, key: string, request: (options: RequestOptions) => Promise<Answer>): Promise<Answer> {
    return ask(this.#what(verb, key), this.#world, request);
  }

  /** One store, by the same keys: another's may not be ours to read. */
  #reaches(other: S3Bucket): boolean {
    return this.#endpoint === other.#endpoint && this.#world.credentials === other.#world.credentials;
  }

  #object = (key: string) => ({ Bucket: this.#name, Key: key });

  #what = (verb: string, key: string): string => `${verb} "${key}" in bucket ${this.bucket}`;
}

/** A put of many requests, by the names of the SDK. */
interface OwnUpload {
  readonly Bucket: string;
  readonly Key: string;
  readonly UploadId: string | undefined;
}

/** Not a bucket that is missing, which is a mistake of the deployment. */
const isMissing = (error: unknown): boolean =>
  error instanceof MillraceError &&
  error.kind === "not-found" &&
  (error.cause as Error | undefined)?.name !== "NoSuchBucket";

const ifMissing =
  <Answer>(answer: Answer) =>
  (error: unknown): Answer => {
    if (isMissing(error)) return answer;
    throw error;
  };

/**
 * S3 refuses keys whose `..` lead out of the bucket, were they folders.
 *
 * @throws `bad-input`
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
 */
function checkS3Key(key: string): void {
  checkKey(key);
  let depth = 0;
  for (const segment of key.split("/")) {
    depth += segment === ".." ? -1 : 1;
    if (depth < 0) throw new MillraceError("bad-input", `S3 takes no key that leads out by "..", got "${key}"`);
  }
}

const tooLong = (key: string): MillraceError =>
  new MillraceError(
    "bad-input",
    `put "${key}": a stream has at most ${MOST_PARTS} parts of ${PART / 2 ** 20} MiB, which are 78 GiB; put a longer one as a file`,
  );

const decodeKey = (key: string): string => decodeURIComponent(key.replaceAll("+", "%20"));

const described = ({ contentType, metadata = {} }: PutOptions) => ({
  ContentType: contentType ?? DEFAULT_TYPE,
  Metadata: Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [name.toLowerCase(), encodeMetadata(value)]),
  ),
});

const DEFAULT_TYPE = "application/octet-stream";

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html */
const conditions = ({ ifMatch, ifNoneMatch }: PutOptions) => ({
  ...(ifMatch !== undefined && { IfMatch: `"${ifMatch}"` }),
  ...(ifNoneMatch && { IfNoneMatch: ifNoneMatch }),
});

const infoOf = (key: string, answer: HeadObjectCommandOutput): ObjectInfo => ({
  key,
  size: answer.ContentLength ?? 0,
  etag: unquoted(answer.ETag),
  modified: toIso(answer.LastModified),
  ...(answer.ContentType !== undefined && { contentType: answer.ContentType }),
  metadata: Object.fromEntries(
    Object.entries(answer.Metadata ?? {}).map(([name, value]) => [name, decodeMetadata(value)]),
  ),
  ...wholeSum(answer),
});

/** One that is made of its parts' sums says nothing of the content. */
function wholeSum({ ChecksumCRC64NVME, ChecksumType }: HeadObjectCommandOutput): Pick<ObjectInfo, "crc64"> {
  const value = ChecksumType === "COMPOSITE" ? undefined : fromBase64(ChecksumCRC64NVME);
  return value === undefined ? {} : { crc64: { kind: "nvme", value } };
}

interface PutAnswer extends Pick<ObjectInfo, "key" | "size" | "modified"> {
  readonly etag: string | undefined;
}

const putInfo = ({ etag, ...answer }: PutAnswer, { contentType, metadata = {} }: PutOptions): ObjectInfo => ({
  ...answer,
  etag: unquoted(etag),
  contentType: contentType ?? DEFAULT_TYPE,
  metadata,
});

const toIso = (date = new Date(0)): string => date.toISOString();

/** What a command's middleware is, as far as it is needed here. */
interface Sent {
  readonly middlewareStack: {
    add(
      middleware: (next: (args: never) => Promise<{ response: unknown }>) => (args: never) => Promise<never>,
      options: { readonly step: "deserialize"; readonly name: string },
    ): void;
  };
}

/**
 * When a command was answered: the answer to a put does not say when it was, its date is when it came. Asking for the
 * object instead would take a permission to read.
 */
function withDate(command: unknown): () => string {
  let date: string | undefined;
  (command as Sent).middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      date = (result.response as { readonly headers: Readonly<Record<string, string>> }).headers.date;
      return result as never;
    },
    { step: "deserialize", name: "date" },
  );
  return () => new Date(date ?? 0).toISOString();
}
