import { createHash } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { pageLimit } from "../../../runtime/conditions.ts";
import { combineCrc64, crc64 } from "../../../runtime/crc64.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import { unquoted } from "../../../runtime/objects.ts";
import type { ObjectSource, Piece, PieceSource, Upload } from "../../../runtime/ports.ts";
import type { AwsWorld } from "./account.ts";
import { ask, type Kinds, type RequestOptions } from "./ask.ts";

/** S3 answers the whole object's checksum for this one alone without reading its parts again. */
const KIND = "nvme";
const CHECKED = { ChecksumAlgorithm: "CRC64NVME", ChecksumType: "FULL_OBJECT" } as const;

/** Where a bucket's uploads go. */
export interface S3Store {
  /** The bucket's logical name. */
  readonly bucket: string;
  /** Its physical one. */
  readonly name: string;
  readonly client: S3Client;
  /** For requests that take long. */
  readonly patient: () => S3Client;
  readonly world: AwsWorld;
}

/** What a piece is copied of, by the bucket's physical name. */
export type S3Source = Omit<ObjectSource, "from"> & { readonly bucket: string };
export type S3PieceSource = Omit<PieceSource, "from"> & S3Source;

export const copySource = ({ bucket, key, ifMatch }: S3Source) => ({
  CopySource: `${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`,
  CopySourceIfMatch: `"${ifMatch}"`,
});

/** Uploads in parts that other processes add to; S3 remembers which parts there are. */
export class S3Uploads {
  readonly #store: S3Store;

  constructor(store: S3Store) {
    this.#store = store;
  }

  /**
   * Other stores need not know checksums: what does not say that it does is sent MD5s, and answers none.
   *
   * @param isChecked whether sums are asked for
   * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
   */
  async begin(
    key: string,
    described: { ContentType: string; Metadata: Record<string, string> },
    isChecked: boolean,
  ): Promise<Upload> {
    const begin = (checked: Partial<typeof CHECKED>) => {
      const command = new CreateMultipartUploadCommand({ ...this.#object(key), ...described, ...checked });
      return this.#ask("begin an upload of", key, (options) => this.#store.client.send(command, options));
    };
    const { UploadId = "", ChecksumAlgorithm } = await begin(isChecked ? CHECKED : {}).catch((error: unknown) => {
      if (isChecked && error instanceof MillraceError && error.kind === "bad-input") return begin({});
      throw error;
    });
    const isSummed = isChecked && ChecksumAlgorithm === CHECKED.ChecksumAlgorithm;
    return { key, id: UploadId, ...(isSummed && { crc64: KIND }) };
  }

  async put(upload: Upload, number: number, body: Uint8Array, sum = sumOf(upload, body)): Promise<Piece> {
    const command = new UploadPartCommand({
      ...this.#upload(upload),
      PartNumber: number,
      Body: body,
      ...(sum === undefined ? { ContentMD5: md5(body) } : { ChecksumCRC64NVME: toBase64(sum) }),
    });
    if (sum !== undefined) unsigned(command);
    const answer = await this.#ask("put a part of", upload.key, (options) => this.#store.client.send(command, options));
    return piece(number, body.byteLength, answer.ETag, sum);
  }

  /** From any region, if the same keys reach it. https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html */
  async copy(upload: Upload, number: number, { range, ...source }: S3PieceSource): Promise<Piece | undefined> {
    const [first, last] = range;
    const command = new UploadPartCopyCommand({
      ...this.#upload(upload),
      PartNumber: number,
      ...copySource(source),
      CopySourceRange: `bytes=${first}-${last}`,
    });
    const answer = await this.#ask("copy a part of", upload.key, (options) =>
      this.#store.patient().send(command, options),
    ).catch((error: unknown) => {
      if (isUnknown(error)) return undefined;
      throw error;
    });
    const { CopyPartResult: made = {} } = answer ?? {};
    return answer && piece(number, last - first + 1, made.ETag, fromBase64(made.ChecksumCRC64NVME));
  }

  async list(upload: Upload, { after = 0, limit }: { readonly after?: number; readonly limit?: number } = {}) {
    const command = new ListPartsCommand({
      ...this.#upload(upload),
      MaxParts: pageLimit(limit),
      ...(after > 0 && { PartNumberMarker: String(after) }),
    });
    const page = await this.#ask("list the parts of", upload.key, (options) =>
      this.#store.client.send(command, options),
    );
    const pieces = (page.Parts ?? []).map(({ PartNumber = 0, Size = 0, ETag, ChecksumCRC64NVME }) =>
      piece(PartNumber, Size, ETag, fromBase64(ChecksumCRC64NVME)),
    );
    const last = pieces.at(-1);
    return { pieces, ...(page.IsTruncated && last && { next: last.number }) };
  }

  /** S3 checks what the parts' checksums come to before the object appears. */
  complete(
    upload: Upload,
    pieces: readonly Piece[],
    conditions: { IfMatch?: string; IfNoneMatch?: string },
    onCommand: (command: CompleteMultipartUploadCommand) => void,
  ): Promise<{ readonly ETag?: string | undefined }> {
    const sum = wholeSum(pieces);
    const command = new CompleteMultipartUploadCommand({
      ...this.#upload(upload),
      ...conditions,
      ...(upload.crc64 && sum !== undefined && { ChecksumCRC64NVME: toBase64(sum), ChecksumType: "FULL_OBJECT" }),
      MultipartUpload: { Parts: pieces.map(toPart) },
    });
    onCommand(command);
    return this.#ask("complete the upload of", upload.key, (options) => this.#store.patient().send(command, options));
  }

  async abort(upload: Upload): Promise<void> {
    const command = new AbortMultipartUploadCommand(this.#upload(upload));
    await this.#ask("abort the upload of", upload.key, (options) => this.#store.client.send(command, options)).catch(
      (error: unknown) => {
        if (!(error instanceof MillraceError && error.kind === "not-found")) throw error;
      },
    );
  }

  #object = (key: string) => ({ Bucket: this.#store.name, Key: key });

  #upload = ({ key, id }: Upload) => ({ ...this.#object(key), UploadId: id });

  #ask<Answer>(verb: string, key: string, request: (options: RequestOptions) => Promise<Answer>): Promise<Answer> {
    const { bucket, world } = this.#store;
    return ask(`${verb} "${key}" in bucket ${bucket}`, world, request, KINDS);
  }
}

/** What came is not what was meant: another try may bring it. https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
export const DAMAGED: Kinds = {
  BadDigest: "failed",
  InvalidDigest: "failed",
  XAmzContentChecksumMismatch: "failed",
  XAmzContentSHA256Mismatch: "failed",
};

const KINDS: Kinds = { ...DAMAGED, NoSuchUpload: "not-found" };

/** Whether a store has no such request. */
const isUnknown = (error: unknown): boolean =>
  error instanceof MillraceError && (error.cause as Error | undefined)?.name === "NotImplemented";

const piece = (number: number, size: number, etag: string | undefined, sum: string | undefined): Piece => ({
  number,
  size,
  etag: unquoted(etag),
  ...(sum !== undefined && { crc64: sum }),
});

const sumOf = (upload: Upload, body: Uint8Array): string | undefined => upload.crc64 && crc64(upload.crc64, body);

const toPart = ({ number, etag, crc64 }: Piece) => ({
  PartNumber: number,
  ETag: `"${etag}"`,
  ...(crc64 !== undefined && { ChecksumCRC64NVME: toBase64(crc64) }),
});

/** Of all pieces together, if the sums of all are known. */
function wholeSum(pieces: readonly Piece[]): string | undefined {
  let sum = crc64(KIND, new Uint8Array());
  for (const piece of pieces) {
    if (piece.crc64 === undefined) return undefined;
    sum = combineCrc64(KIND, sum, piece.crc64, piece.size);
  }
  return sum;
}

const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("base64");

/** As S3 writes a CRC: its bytes, highest first. */
export const toBase64 = (sum: string): string => Buffer.from(sum, "hex").toString("base64");
export const fromBase64 = (sum: string | undefined): string | undefined =>
  sum === undefined ? undefined : Buffer.from(sum, "base64").toString("hex");

/** What a command's middleware is, as far as it is needed here. */
interface Sent {
  readonly middlewareStack: {
    add(
      middleware: (
        next: (args: { readonly request: { readonly headers: Record<string, string> } }) => unknown,
      ) => (args: { readonly request: { readonly headers: Record<string, string> } }) => unknown,
      options: { readonly step: "build"; readonly name: string },
    ): void;
  };
}

/**
 * Leaves the body out of the signature: it is checked by its CRC, and SHA-256 would take longer than all else.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */
function unsigned(command: unknown): void {
  (command as Sent).middlewareStack.add(
    (next) => (args) => {
      args.request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD";
      return next(args);
    },
    { step: "build", name: "unsigned" },
  );
}
