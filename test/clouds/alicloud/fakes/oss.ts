import { createHash, randomUUID } from "node:crypto";
import signUtils from "ali-oss/lib/common/signUtils.js";
import { crc64 } from "../../../../lib/runtime/crc64.ts";
import { type FakeAnswer, type FakeRequest, FakeServer, isToken, KEYS } from "./server.ts";

interface StoredObject {
  readonly bytes: Buffer;
  readonly size: number;
  readonly etag: string;
  readonly modified: number;
  readonly headers: Readonly<Record<string, string>>;
}

interface Part {
  readonly size: number;
  readonly tag: string;
  readonly bytes: Buffer;
}

interface Upload {
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: Map<number, Part>;
}

const REGION = "cn-hangzhou";
/** https://www.alibabacloud.com/help/en/oss/user-guide/multipart-upload */
const MOST_PARTS = 10_000;
const LEAST_PART = 100 * 1024;
/** Of one part, and of an object that is put at once. */
const MOST_AT_ONCE = 5 * 2 ** 30;

/**
 * OSS on the wire, as its API reference says it: one bucket, with the bucket in the path. Signatures are checked by the
 * vendor's own client.
 */
export class FakeOss {
  readonly server = new FakeServer((request) => this.#answer(request));
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, Upload>();
  readonly #bucket: string;
  readonly #keepsBytes: boolean;

  /** @param options `keepsBytes`: false counts the bytes of parts and forgets them. @default they are kept */
  constructor(bucket: string, { keepsBytes = true }: { readonly keepsBytes?: boolean } = {}) {
    this.#bucket = bucket;
    this.#keepsBytes = keepsBytes;
    this.server.keepsBodies = keepsBytes;
  }

  #answer(request: FakeRequest): FakeAnswer {
    const key = decodeURIComponent(request.path.slice(this.#bucket.length + 2));
    if (!isSigned(request, this.#bucket, key)) return error(403, "SignatureDoesNotMatch");
    if (this.server.forbids(request)) return error(403, "AccessDenied");
    if (key === "") return this.#list(request.query);
    if (Buffer.byteLength(key) > 1023 || /^[/\\]/.test(key)) return error(400, "InvalidObjectName");
    const { md5 } = { md5: request.headers["content-md5"] };
    if (md5 && md5 !== createHash("md5").update(request.body).digest("base64")) return error(400, "InvalidDigest");
    switch (request.method) {
      case "HEAD":
      case "GET":
        return request.query.uploadId === undefined ? this.#get(key, request) : this.#listParts(key, request);
      case "PUT":
        if (request.query.uploadId === undefined) return this.#put(key, request);
        return request.headers["x-oss-copy-source"] === undefined
          ? this.#putPart(key, request)
          : this.#copyPart(key, request);
      case "POST":
        return "uploads" in request.query ? this.#begin(key, request) : this.#complete(key, request);
      case "DELETE":
        if (request.query.uploadId === undefined) this.objects.delete(key);
        else if (!this.uploads.delete(request.query.uploadId)) return error(404, "NoSuchUpload");
        return { status: 204 };
      default:
        return error(405, "MethodNotAllowed");
    }
  }

  #get(key: string, { headers }: FakeRequest): FakeAnswer {
    const found = this.objects.get(key);
    if (!found) return error(404, "NoSuchKey");
    if (headers["if-match"] !== undefined && headers["if-match"] !== `"${found.etag}"`)
      return error(412, "PreconditionFailed");
    const described = {
      etag: `"${found.etag}"`,
      "last-modified": new Date(found.modified).toUTCString(),
      "content-length": String(found.size),
      ...(this.#keepsBytes && { "x-oss-hash-crc64ecma": sumOf(found.bytes) }),
      ...found.headers,
    };
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
    if (first === undefined) return { status: 200, headers: described, body: found.bytes };
    if (Number(first) >= found.size) return error(416, "InvalidRange");
    const body = found.bytes.subarray(Number(first), Number(last) + 1);
    return { status: 206, headers: { ...described, "content-length": String(body.length) }, body };
  }

  #put(key: string, { headers, body }: FakeRequest): FakeAnswer {
    if (this.#isForbidden(key, headers)) return error(409, "FileAlreadyExists");
    if (body.length > MOST_AT_ONCE) return error(400, "EntityTooLarge");
    const etag = createHash("md5").update(body).digest("hex").toUpperCase();
    this.objects.set(key, {
      bytes: body,
      size: body.length,
      etag,
      modified: this.server.now(),
      headers: described(headers),
    });
    return { status: 200, headers: { etag: `"${etag}"` } };
  }

  #begin(key: string, { headers }: FakeRequest): FakeAnswer {
    if (this.#isForbidden(key, headers)) return error(409, "FileAlreadyExists");
    const id = randomUUID();
    this.uploads.set(id, { key, headers: described(headers), parts: new Map() });
    return {
      status: 200,
      body: `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
    };
  }

  #putPart(key: string, { query, body }: FakeRequest): FakeAnswer {
    const upload = this.uploads.get(query.uploadId ?? "");
    if (upload?.key !== key) return error(404, "NoSuchUpload");
    const number = Number(query.partNumber);
    if (!(number >= 1 && number <= MOST_PARTS)) return error(400, "InvalidArgument");
    if (body.length > MOST_AT_ONCE) return error(400, "EntityTooLarge");
    const tag = createHash("md5").update(body).digest("hex").toUpperCase();
    upload.parts.set(number, { size: body.length, tag, bytes: this.#keepsBytes ? body : Buffer.alloc(0) });
    return { status: 200, headers: { etag: `"${tag}"`, "x-oss-hash-crc64ecma": sumOf(body) } };
  }

  /** https://www.alibabacloud.com/help/en/oss/developer-reference/uploadpartcopy */
  #copyPart(key: string, request: FakeRequest): FakeAnswer {
    const { headers } = request;
    const [, bucket, ...path] = headers["x-oss-copy-source"]!.split("/").map(decodeURIComponent);
    if (bucket !== this.#bucket) return error(404, "NoSuchBucket");
    const source = this.objects.get(path.join("/"));
    if (!source) return error(404, "NoSuchKey");
    if (headers["x-oss-copy-source-if-match"] !== `"${source.etag}"`) return error(412, "PreconditionFailed");
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers["x-oss-copy-source-range"] ?? "") ?? [];
    const body = source.bytes.subarray(Number(first), Number(last) + 1);
    const { headers: made = {}, ...answer } = this.#putPart(key, { ...request, body });
    if (answer.status !== 200) return answer;
    return { status: 200, headers: made, body: `<CopyPartResult><ETag>${made.etag}</ETag></CopyPartResult>` };
  }

  /** https://www.alibabacloud.com/help/en/oss/developer-reference/listparts */
  #listParts(key: string, { query }: FakeRequest): FakeAnswer {
    const upload = this.uploads.get(query.uploadId ?? "");
    if (upload?.key !== key) return error(404, "NoSuchUpload");
    const { "max-parts": most = "1000", "part-number-marker": after = "0" } = query;
    const parts = [...upload.parts].filter(([number]) => number > Number(after)).sort(([one], [other]) => one - other);
    const listed = parts
      .slice(0, Number(most))
      .map(
        ([number, { size, tag, bytes }]) =>
          `<Part><PartNumber>${number}</PartNumber><ETag>"${tag}"</ETag><Size>${size}</Size><HashCrc64ecma>${sumOf(bytes)}</HashCrc64ecma></Part>`,
      );
    return {
      status: 200,
      body: `<ListPartsResult><IsTruncated>${parts.length > Number(most)}</IsTruncated>${listed.join("")}</ListPartsResult>`,
    };
  }

  #complete(key: string, { query, headers, body }: FakeRequest): FakeAnswer {
    const upload = this.uploads.get(query.uploadId ?? "");
    if (upload?.key !== key) return error(404, "NoSuchUpload");
    if (this.#isForbidden(upload.key, headers)) return error(409, "FileAlreadyExists");
    const named = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>"(\w+)"<\/ETag>/g)];
    const parts = named.map(([, number]) => upload.parts.get(Number(number)));
    const isWhole = parts.every((part, index) => part?.tag === named[index]![2]);
    if (!isWhole || parts.length !== upload.parts.size) return error(400, "InvalidPart");
    if (parts.slice(0, -1).some((part) => part!.size < LEAST_PART)) return error(400, "EntityTooSmall");
    const tags = parts.map((part) => part!.tag).join("");
    const etag = `${createHash("md5").update(tags).digest("hex").toUpperCase()}-${parts.length}`;
    this.objects.set(upload.key, {
      bytes: Buffer.concat(parts.map((part) => part!.bytes)),
      size: parts.reduce((sum, part) => sum + part!.size, 0),
      etag,
      modified: this.server.now(),
      headers: upload.headers,
    });
    this.uploads.delete(query.uploadId!);
    return {
      status: 200,
      body: `<CompleteMultipartUploadResult><ETag>"${etag}"</ETag></CompleteMultipartUploadResult>`,
    };
  }

  #list(query: Readonly<Record<string, string>>): FakeAnswer {
    const { prefix = "", "start-after": after = "", "max-keys": most = "100" } = query;
    if (query["list-type"] !== "2" || query["encoding-type"] !== "url") return error(400, "InvalidArgument");
    const keys = [...this.objects.keys()]
      .filter((key) => key.startsWith(prefix) && compare(key, after) > 0)
      .sort(compare);
    const contents = keys.slice(0, Number(most)).map((key) => {
      const { etag, size, modified } = this.objects.get(key)!;
      const name = encodeURIComponent(key).replaceAll("%20", "+");
      return `<Contents><Key>${name}</Key><LastModified>${new Date(modified).toISOString()}</LastModified><ETag>"${etag}"</ETag><Size>${size}</Size></Contents>`;
    });
    const isCut = keys.length > Number(most);
    return {
      status: 200,
      body: `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><EncodingType>url</EncodingType>${contents.join("")}<IsTruncated>${isCut}</IsTruncated></ListBucketResult>`,
    };
  }

  #isForbidden = (key: string, headers: FakeRequest["headers"]): boolean =>
    headers["x-oss-forbid-overwrite"] === "true" && this.objects.has(key);
}

const compare = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));

/** As OSS writes it. */
const sumOf = (bytes: Uint8Array): string => BigInt(`0x${crc64("ecma", bytes)}`).toString();

const described = (headers: FakeRequest["headers"]): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).filter(([name]) => name === "content-type" || name.startsWith("x-oss-meta-")),
  );

function isSigned({ method, headers, query }: FakeRequest, bucket: string, key: string): boolean {
  if (!isToken(headers["x-oss-security-token"])) return false;
  const signed = Object.entries(headers).filter(
    ([name]) => name.startsWith("x-oss-") || name === "content-type" || name === "content-md5",
  );
  const queries = Object.fromEntries(Object.entries(query).map(([name, value]) => [name, value === "" ? null : value]));
  const request = { headers: Object.fromEntries(signed), queries };
  const { accessKeyId, accessKeySecret } = KEYS;
  return (
    headers.authorization ===
    signUtils.authorizationV4(accessKeyId, accessKeySecret, REGION, method, request, bucket, key || undefined, [])
  );
}

const error = (status: number, code: string): FakeAnswer => ({
  status,
  headers: { "content-type": "application/xml" },
  body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`,
});
