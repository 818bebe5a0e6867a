import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { checkGet, checkKey, checkPut, noObject, pageLimit } from "../../../runtime/conditions.ts";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { type ErrorKind, MillraceError } from "../../../runtime/errors.ts";
import { NO_COPIES } from "../../../runtime/no-copies.ts";
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
  OwnCopies,
  Piece,
  PieceSource,
  PutOptions,
  Upload,
  UploadOptions,
} from "../../../runtime/ports.ts";
import type { AlicloudWorld } from "./account.ts";
import { discard, encode, type HttpAnswer, type HttpRequest, send, textOf } from "./http.ts";
import { signOss } from "./signature.ts";
import { escapeXml, readXml } from "./xml.ts";

/** Larger objects go in parts of this size, in bytes; what is shorter goes in one request. */
const PART = 8 * 2 ** 20;
/** https://www.alibabacloud.com/help/en/oss/user-guide/multipart-upload */
const MOST_PARTS = 10_000;
/** Parts of a file under way at once. */
const AT_ONCE = 3;
/** A key has one byte less than elsewhere. https://www.alibabacloud.com/help/en/oss/user-guide/object-naming-conventions */
const KEY_BYTES = 1023;

export { worldBy } from "./account.ts";

/** A bucket of Object Storage Service. */
export const port = (
  address: LinkAddress,
  world: AlicloudWorld,
): BucketReader & BucketWriter & BucketUploader & BucketRemover => new OssBucket(address, world);

type Options = Partial<Pick<HttpRequest, "query" | "headers" | "body">>;

class OssBucket implements BucketReader, BucketWriter, BucketUploader, BucketRemover {
  readonly bucket: string;
  readonly #name: string;
  readonly #origin: string;
  readonly #hasBucketInPath: boolean;
  readonly #region: string;
  readonly #world: AlicloudWorld;

  constructor(address: LinkAddress, world: AlicloudWorld) {
    this.bucket = address.part;
    this.#name = field(address, "bucket");
    this.#region = field(address, "region");
    this.#hasBucketInPath = address.endpoint !== undefined;
    const host = `oss-${this.#region}${this.#region === world.region ? "-internal" : ""}.aliyuncs.com`;
    this.#origin = address.endpoint ?? `https://${this.#name}.${host}`;
    this.#world = world;
  }

  async head(key: string, { crc64 = false }: HeadOptions = {}): Promise<ObjectInfo | undefined> {
    const answer = await this.#send("HEAD", key);
    await discard(answer);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw errorOf(answer.status, answer.headers["x-oss-ec"] ?? "", this.#what("head", key));
    const sum = crc64 ? sumOf(answer) : undefined;
    return { ...infoOf(key, answer), ...(sum !== undefined && { crc64: { kind: KIND, value: sum } }) };
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    return buffer(await this.stream(key, options));
  }

  async stream(key: string, { range, ifMatch }: GetOptions = {}): Promise<Readable> {
    checkRange(key, range);
    const headers = {
      ...(range && { range: `bytes=${range[0]}-${range[1]}`, "x-oss-range-behavior": "standard" }),
      ...(ifMatch !== undefined && { "if-match": `"${ifMatch}"` }),
    };
    const answer = await this.#send("GET", key, { headers });
    if (answer.status === 200 || answer.status === 206) return answer.body;
    if (answer.status === 404) {
      await discard(answer);
      throw noObject(this.bucket, key);
    }
    throw await this.#error(answer, "get", key);
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

  /** https://www.alibabacloud.com/help/en/oss/developer-reference/listobjectsv2 */
  async list({ prefix, after, limit }: Parameters<BucketReader["list"]>[0] = {}) {
    const query = {
      "list-type": "2",
      "encoding-type": "url",
      "max-keys": String(pageLimit(limit)),
      ...(prefix && { prefix }),
      ...(after && { "start-after": after }),
    };
    const answer = await this.#send("GET", "", { query });
    if (answer.status !== 200) throw await this.#error(answer, "list", prefix ?? "");
    const page = readXml(await textOf(answer));
    const objects = page.all("Contents").map((one) => ({
      key: decodeURIComponent(one.text("Key").replaceAll("+", "%20")),
      size: Number(one.text("Size")),
      etag: unquoted(one.text("ETag")),
      modified: new Date(one.text("LastModified")).toISOString(),
      metadata: {},
    }));
    const last = objects.at(-1);
    return { objects, ...(page.text("IsTruncated") === "true" && last && { next: last.key }) };
  }

  async put(key: string, body: Uint8Array | string | Readable, options: PutOptions = {}): Promise<ObjectInfo> {
    checkOssKey(key);
    if (typeof body === "string") return this.#putWhole(key, Buffer.from(body), options);
    if (body instanceof Uint8Array) {
      return body.byteLength <= 2 * PART
        ? this.#putWhole(key, body, options)
        : this.#putParts(key, slices(body, PART), options);
    }
    const ending = new AbortController();
    const parts = inPieces(body, PART, AbortSignal.any([this.#world.signal, ending.signal]));
    const first = await parts.next();
    const second = first.done ? first : await parts.next();
    if (first.done) return this.#putWhole(key, new Uint8Array(), options);
    if (second.done) return this.#putWhole(key, first.value, options);
    return this.#putParts(key, following([first.value, second.value], parts), options, () => ending.abort());
  }

  async putFile(key: string, path: string, options: PutOptions = {}): Promise<ObjectInfo> {
    checkOssKey(key);
    const handle = await open(path).catch(() => undefined);
    if (!handle) throw new MillraceError("not-found", `putFile: there is no file ${path}`);
    try {
      const { size } = await handle.stat();
      if (size <= 2 * PART) return await this.#putWhole(key, await handle.readFile(), options);
      const part = Math.max(PART, Math.ceil(size / MOST_PARTS));
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

  /** https://www.alibabacloud.com/help/en/oss/developer-reference/initiatemultipartupload */
  async beginUpload(key: string, options: UploadOptions = {}): Promise<Upload> {
    checkOssKey(key);
    const answer = await this.#send("POST", key, { query: { uploads: "" }, headers: putHeaders(options) });
    if (answer.status !== 200) throw await this.#error(answer, "begin an upload of", key);
    return { key, id: readXml(await textOf(answer)).text("UploadId"), crc64: KIND };
  }

  /** https://www.alibabacloud.com/help/en/oss/developer-reference/uploadpart */
  async putPiece({ key, id }: Upload, number: number, body: Uint8Array, crc64?: string): Promise<Piece> {
    const query = { partNumber: String(number), uploadId: id };
    const answer = await this.#send("PUT", key, { query, body, headers: { "content-md5": md5(body) } });
    if (answer.status !== 200) throw await this.#error(answer, "put a part of", key);
    await discard(answer);
    const sum = sumOf(answer);
    if (crc64 !== undefined && sum !== undefined && sum !== crc64) {
      throw new MillraceError("failed", `part ${number} of "${key}" has the CRC ${sum} in OSS, not ${crc64}`);
    }
    return pieceOf(number, body.byteLength, answer.headers.etag, sum);
  }

  /** Pieces alone, within a region. */
  async ownCopies(from: BucketReader): Promise<OwnCopies | undefined> {
    return from instanceof OssBucket && this.#reaches(from) ? { whole: 0 } : undefined;
  }

  copyObject = NO_COPIES.copyObject;

  /** Within a region alone. https://www.alibabacloud.com/help/en/oss/developer-reference/uploadpartcopy */
  async copyPiece({ key, id }: Upload, number: number, source: PieceSource): Promise<Piece | undefined> {
    const { from, range, ifMatch } = source;
    if (!(from instanceof OssBucket) || !this.#reaches(from)) return undefined;
    const [first, last] = range;
    const answer = await this.#send("PUT", key, {
      query: { partNumber: String(number), uploadId: id },
      headers: {
        "x-oss-copy-source": `/${from.#name}/${source.key.split("/").map(encode).join("/")}`,
        "x-oss-copy-source-range": `bytes=${first}-${last}`,
        "x-oss-copy-source-if-match": `"${ifMatch}"`,
      },
    });
    if (answer.status !== 200) throw await this.#error(answer, "copy a part of", key);
    const etag = readXml(await textOf(answer)).text("ETag");
    return pieceOf(number, last - first + 1, etag, sumOf(answer));
  }

  /** https://www.alibabacloud.com/help/en/oss/developer-reference/listparts */
  async listPieces(
    { key, id }: Upload,
    { after = 0, limit }: { readonly after?: number; readonly limit?: number } = {},
  ) {
    const query = {
      uploadId: id,
      "max-parts": String(pageLimit(limit)),
      ...(after > 0 && { "part-number-marker": String(after) }),
    };
    const answer = await this.#send("GET", key, { query });
    if (answer.status !== 200) throw await this.#error(answer, "list the parts of", key);
    const page = readXml(await textOf(answer));
    const pieces = page.all("Part").map((one) => {
      const sum = one.text("HashCrc64ecma");
      return pieceOf(Number(one.text("PartNumber")), Number(one.text("Size")), one.text("ETag"), sum && toHex(sum));
    });
    const last = pieces.at(-1);
    return { pieces, ...(page.text("IsTruncated") === "true" && last && { next: last.number }) };
  }

  /** https://www.alibabacloud.com/help/en/oss/developer-reference/completemultipartupload */
  async completeUpload(
    { key, id }: Upload,
    pieces: readonly Piece[],
    options: Pick<PutOptions, "ifMatch" | "ifNoneMatch"> = {},
  ): Promise<ObjectInfo> {
    await this.#checkMatch(key, options);
    const tags = pieces.map(({ number, etag }) => [number, escapeXml(`"${etag}"`)] as const);
    const answer = await this.#complete(key, id, tags, options);
    const size = pieces.reduce((sum, piece) => sum + piece.size, 0);
    const etag = unquoted(readXml(await textOf(answer)).text("ETag"));
    return { key, size, etag, modified: new Date(answer.headers.date ?? 0).toISOString(), metadata: {} };
  }

  async abortUpload({ key, id }: Upload): Promise<void> {
    const answer = await this.#send("DELETE", key, { query: { uploadId: id } });
    if (answer.status !== 204 && answer.status !== 404) throw await this.#error(answer, "abort the upload of", key);
    await discard(answer);
  }

  async #complete(key: string, uploadId: string, tags: readonly Tag[], options: PutOptions): Promise<HttpAnswer> {
    const parts = tags.map(([number, tag]) => `<Part><PartNumber>${number}</PartNumber><ETag>${tag}</ETag></Part>`);
    const { "x-oss-forbid-overwrite": forbid } = putHeaders(options);
    const answer = await this.#send("POST", key, {
      query: { uploadId },
      headers: { "content-type": "application/xml", ...(forbid && { "x-oss-forbid-overwrite": forbid }) },
      body: `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`,
    });
    if (answer.status !== 200) throw await this.#error(answer, "put", key);
    return answer;
  }

  /** By the same keys, which are known to reach both. */
  #reaches(other: OssBucket): boolean {
    return (
      this.#region === other.#region &&
      this.#hasBucketInPath === other.#hasBucketInPath &&
      this.#world.credentials === other.#world.credentials
    );
  }

  async remove(key: string): Promise<void> {
    checkOssKey(key);
    const answer = await this.#send("DELETE", key);
    if (answer.status !== 204 && answer.status !== 404) throw await this.#error(answer, "remove", key);
    await discard(answer);
  }

  /** https://www.alibabacloud.com/help/en/oss/developer-reference/putobject */
  async #putWhole(key: string, body: Uint8Array, options: PutOptions): Promise<ObjectInfo> {
    await this.#checkMatch(key, options);
    const answer = await this.#send("PUT", key, {
      body,
      headers: { ...putHeaders(options), "content-md5": md5(body) },
    });
    if (answer.status !== 200) throw await this.#error(answer, "put", key);
    await discard(answer);
    return putInfo(key, body.byteLength, unquoted(answer.headers.etag), answer, options);
  }

  /** The object appears with the last request. Parts of one that does not come so far are removed at once. */
  async #putParts(key: string, pieces: Pieces, options: PutOptions, giveUp?: () => void): Promise<ObjectInfo> {
    const begun = await this.#send("POST", key, { query: { uploads: "" }, headers: putHeaders(options) });
    if (begun.status !== 200) throw await this.#error(begun, "put", key);
    const uploadId = readXml(await textOf(begun)).text("UploadId");
    try {
      const { tags, size } = await this.#sendParts(key, uploadId, pieces, giveUp);
      await this.#checkMatch(key, options);
      const numbered = tags.map((tag, index) => [index + 1, tag] as const);
      const done = await this.#complete(key, uploadId, numbered, options);
      const etag = unquoted(readXml(await textOf(done)).text("ETag"));
      return putInfo(key, size, etag, done, options);
    } catch (error) {
      await this.#abandon(key, uploadId);
      throw error;
    }
  }

  async #sendParts(key: string, uploadId: string, pieces: Pieces, giveUp?: () => void) {
    const tags: string[] = [];
    let size = 0;
    const sendOne = async (index: number, body: Uint8Array) => {
      if (index >= MOST_PARTS) throw tooLong(key);
      const query = { partNumber: String(index + 1), uploadId };
      const answer = await this.#send("PUT", key, { query, body, headers: { "content-md5": md5(body) } });
      if (answer.status !== 200) throw await this.#error(answer, "put", key);
      await discard(answer);
      tags[index] = escapeXml(answer.headers.etag ?? "");
      size += body.byteLength;
    };
    await inTurn(pieces, AT_ONCE, sendOne, giveUp);
    return { tags, size };
  }

  /** With a signal of its own: an upload is abandoned just when the other one has aborted. */
  async #abandon(key: string, uploadId: string): Promise<void> {
    const { log } = this.#world;
    const world = { ...this.#world, signal: AbortSignal.timeout(10_000) };
    await this.#send("DELETE", key, { query: { uploadId } }, world)
      .then(discard)
      .catch((error) => log.warn(`${this.#what("put", key)}: its parts are left to the bucket's lifecycle`, { error }));
  }

  /** OSS knows no condition on an etag for puts: looked at just before, which leaves a gap. */
  async #checkMatch(key: string, options: PutOptions): Promise<void> {
    if (options.ifMatch !== undefined) checkPut(key, await this.head(key), { ifMatch: options.ifMatch });
  }

  #send(method: HttpRequest["method"], key: string, options: Options = {}, world = this.#world): Promise<HttpAnswer> {
    const { query = {}, headers = {}, body } = options;
    const path = `/${key.split("/").map(encode).join("/")}`;
    const sent = `/${key.split("/").map(encodeSegment).join("/")}`;
    const request: HttpRequest = {
      method,
      origin: this.#origin,
      path: this.#hasBucketInPath ? `/${this.#name}${sent}` : sent,
      query,
      headers,
      ...(body !== undefined && { body }),
    };
    const sign = signOss(this.#name, this.#region, world.credentials);
    return send(request, (signed, now) => sign({ ...signed, path }, now), world);
  }

  #what = (verb: string, key: string): string => `${verb} "${key}" in bucket ${this.bucket}`;

  async #error(answer: HttpAnswer, verb: string, key: string): Promise<MillraceError> {
    const text = await textOf(answer);
    const code = text.startsWith("<") ? readXml(text).text("Code") : "";
    if (code === "FileAlreadyExists") return new MillraceError("conflict", `there is an object "${key}" already`);
    if (answer.status === 412) {
      return new MillraceError("conflict", `object "${key}" is not the one that was asked for: its etag is another`);
    }
    return errorOf(answer.status, code, this.#what(verb, key));
  }
}

/** A part's number, and its etag as XML. */
type Tag = readonly [number: number, tag: string];

/** What OSS says of every object and every part. https://www.alibabacloud.com/help/en/oss/developer-reference/check-data-integrity */
const KIND = "ecma";

const sumOf = ({ headers }: HttpAnswer): string | undefined => {
  const sum = headers["x-oss-hash-crc64ecma"];
  return sum === undefined ? undefined : toHex(sum);
};

/** OSS writes a CRC as a decimal number. */
const toHex = (sum: string): string => BigInt(sum).toString(16).padStart(16, "0");

const pieceOf = (number: number, size: number, etag: string | undefined, sum: string | undefined): Piece => ({
  number,
  size,
  etag: unquoted(etag),
  ...(sum && { crc64: sum }),
});

/** Dots are encoded too: whoever stands in between takes `..` for a folder. */
const encodeSegment = (segment: string): string =>
  /^\.{1,2}$/.test(segment) ? segment.replaceAll(".", "%2E") : encode(segment);

/** @throws `bad-input` */
function checkOssKey(key: string): void {
  checkKey(key);
  if (Buffer.byteLength(key) > KEY_BYTES || /^[/\\]/.test(key)) {
    throw new MillraceError(
      "bad-input",
      `OSS takes keys of at most 1,023 bytes that begin neither with / nor with \\, got "${key.slice(0, 60)}"`,
    );
  }
}

const tooLong = (key: string): MillraceError =>
  new MillraceError(
    "bad-input",
    `put "${key}": a stream has at most ${MOST_PARTS} parts of ${PART / 2 ** 20} MiB, which are 78 GiB; put a longer one as a file`,
  );

const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("base64");

const META = "x-oss-meta-";

function putHeaders({ contentType = "application/octet-stream", metadata = {}, ifNoneMatch }: PutOptions) {
  const described = Object.entries(metadata).map(([name, value]) => [META + name.toLowerCase(), encodeMetadata(value)]);
  return {
    "content-type": contentType,
    ...(Object.fromEntries(described) as Record<string, string>),
    ...(ifNoneMatch === "*" && { "x-oss-forbid-overwrite": "true" }),
  } as Record<string, string>;
}

function infoOf(key: string, { headers }: HttpAnswer): ObjectInfo {
  const metadata = Object.entries(headers)
    .filter(([name]) => name.startsWith(META))
    .map(([name, value]) => [name.slice(META.length), decodeMetadata(value ?? "")]);
  return {
    key,
    size: Number(headers["content-length"]),
    etag: unquoted(headers.etag),
    modified: new Date(headers["last-modified"] ?? 0).toISOString(),
    ...(headers["content-type"] !== undefined && { contentType: headers["content-type"] }),
    metadata: Object.fromEntries(metadata),
  };
}

/** The answer to a put does not say when it was; its date is when it came. */
const putInfo = (
  key: string,
  size: number,
  etag: string,
  { headers }: HttpAnswer,
  options: PutOptions,
): ObjectInfo => ({
  key,
  size,
  etag,
  modified: new Date(headers.date ?? 0).toISOString(),
  contentType: options.contentType ?? "application/octet-stream",
  metadata: options.metadata ?? {},
});

const KINDS: Readonly<Record<number, ErrorKind>> = {
  400: "bad-input",
  403: "refused",
  404: "not-found",
  409: "conflict",
  412: "conflict",
  416: "bad-input",
};

/** What came is not what was sent: another try may bring it. */
const DAMAGED = "InvalidDigest";

const errorOf = (status: number, code: string, what: string): MillraceError =>
  new MillraceError(
    code === DAMAGED ? "failed" : (KINDS[status] ?? "failed"),
    `${what}: OSS answers ${status}${code && ` ${code}`}`,
  );
