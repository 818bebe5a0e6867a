import { afterEach, describe, expect, it } from "vitest";
import { combineCrc64, crc64 } from "../../lib/runtime/crc64.ts";
import type { ErrorKind } from "../../lib/runtime/errors.ts";
import type {
  BucketReader,
  BucketRemover,
  BucketUploader,
  BucketWriter,
  Piece,
  Upload,
} from "../../lib/runtime/ports.ts";

export interface UploadsSubject {
  /** Empty. */
  readonly bucket: BucketReader & BucketWriter & BucketUploader & BucketRemover;
  /** Whether the store copies pieces by itself. @default it does not */
  readonly copies?: boolean;
  /** Whether the store copies objects in one request. @default it does not */
  readonly wholes?: boolean;
  /** Whether the store says a CRC-64 of what came in pieces. @default it does */
  readonly sums?: boolean;
  close(): Promise<void>;
}

const kind = (expected: ErrorKind) => expect.objectContaining({ kind: expected });
const MB = 2 ** 20;
const FIRST = Buffer.alloc(5 * MB, "first piece ");
const SECOND = Buffer.alloc(5 * MB, "the second one ");
const LAST = Buffer.from("and the rest");
const WHOLE = Buffer.concat([FIRST, SECOND, LAST]);

/** What every bucket does with what comes in pieces. */
export function testUploads(make: () => Promise<UploadsSubject>): void {
  describe("uploads", () => {
    const subjects: UploadsSubject[] = [];
    afterEach(async () => {
      for (const subject of subjects.splice(0)) await subject.close();
    });
    const subject = async (): Promise<UploadsSubject> => {
      const made = await make();
      subjects.push(made);
      return made;
    };

    /** As somebody else gets it, who knows no more than its JSON. */
    const handedOn = (upload: Upload): Upload => JSON.parse(JSON.stringify(upload)) as Upload;
    const sumOf = ({ crc64: kind }: Upload, bytes: Uint8Array) => kind && crc64(kind, bytes);
    const put = (bucket: BucketUploader, upload: Upload, number: number, body: Uint8Array): Promise<Piece> =>
      bucket.putPiece(upload, number, body, sumOf(upload, body));

    it("make an object of pieces in any order, with all that was said of it", async () => {
      const { bucket, sums = true } = await subject();
      const begun = { contentType: "video/mp4", metadata: { owner: "猫" } };
      const upload = handedOn(await bucket.beginUpload("a+b/视频.mp4", begun));
      const others = [await put(bucket, upload, 3, LAST), await put(bucket, upload, 1, FIRST)];
      expect(await bucket.head("a+b/视频.mp4")).toBeUndefined();
      const pieces = [others[1]!, await put(bucket, upload, 2, SECOND), others[0]!];
      const { pieces: listed, next } = await bucket.listPieces(upload);
      expect(listed).toEqual(pieces);
      expect(next).toBeUndefined();
      expect(listed.map(({ number, size }) => [number, size])).toEqual([
        [1, 5 * MB],
        [2, 5 * MB],
        [3, LAST.length],
      ]);
      const info = await bucket.completeUpload(upload, listed);
      expect(info).toMatchObject({ key: "a+b/视频.mp4", size: WHOLE.length });
      const head = await bucket.head("a+b/视频.mp4", { crc64: true });
      expect(head).toMatchObject({ size: WHOLE.length, etag: info.etag, ...begun });
      expect(Buffer.compare(await bucket.get("a+b/视频.mp4"), WHOLE)).toBe(0);
      expect(upload.crc64 !== undefined).toBe(sums);
      if (upload.crc64 === undefined) return;
      expect(head?.crc64).toEqual({ kind: upload.crc64, value: crc64(upload.crc64, WHOLE) });
      const combined = listed.reduce(
        (sum, piece) => combineCrc64(upload.crc64!, sum, piece.crc64!, piece.size),
        crc64(upload.crc64, new Uint8Array()),
      );
      expect(combined).toBe(head?.crc64?.value);
    });

    it("keep the piece that came last, and take it again", async () => {
      const { bucket } = await subject();
      const upload = await bucket.beginUpload("a");
      await put(bucket, upload, 1, SECOND);
      const first = await put(bucket, upload, 1, FIRST);
      expect(await put(bucket, upload, 1, FIRST)).toEqual(first);
      const { pieces } = await bucket.listPieces(upload);
      expect(pieces).toEqual([first]);
      await bucket.completeUpload(upload, pieces);
      expect(Buffer.compare(await bucket.get("a"), FIRST)).toBe(0);
    });

    it("refuse a piece that is not what its CRC says", async () => {
      const { bucket } = await subject();
      const upload = await bucket.beginUpload("a");
      if (upload.crc64 === undefined) return;
      await expect(bucket.putPiece(upload, 1, FIRST, sumOf(upload, SECOND)!)).rejects.toEqual(kind("failed"));
      // Where the store has no say in it, the piece is there as what it is.
      const { pieces } = await bucket.listPieces(upload);
      expect(pieces.map(({ crc64 }) => crc64)).not.toContain(sumOf(upload, SECOND));
    });

    it("list their pieces in pages", async () => {
      const { bucket } = await subject();
      const upload = await bucket.beginUpload("a");
      for (const number of [5, 2, 9, 1]) await put(bucket, upload, number, LAST);
      const first = await bucket.listPieces(upload, { limit: 3 });
      expect(first.pieces.map(({ number }) => number)).toEqual([1, 2, 5]);
      expect(first.next).toBe(5);
      const rest = await bucket.listPieces(upload, { after: first.next!, limit: 3 });
      expect(rest.pieces.map(({ number }) => number)).toEqual([9]);
      expect(rest.next).toBeUndefined();
      expect((await bucket.listPieces(upload, { after: 2 })).pieces.map(({ number }) => number)).toEqual([5, 9]);
    });

    it("are nothing any more once they are over", async () => {
      const { bucket } = await subject();
      const given = await bucket.beginUpload("given-up");
      await put(bucket, given, 1, FIRST);
      await bucket.abortUpload(given);
      await bucket.abortUpload(given);
      await expect(bucket.listPieces(given)).rejects.toEqual(kind("not-found"));
      await expect(put(bucket, given, 1, FIRST)).rejects.toEqual(kind("not-found"));
      expect(await bucket.head("given-up")).toBeUndefined();
      const done = await bucket.beginUpload("done");
      const piece = await put(bucket, done, 1, FIRST);
      await bucket.completeUpload(done, [piece]);
      await bucket.abortUpload(done);
      await expect(bucket.listPieces(done)).rejects.toEqual(kind("not-found"));
      await expect(put(bucket, done, 1, FIRST)).rejects.toEqual(kind("not-found"));
      expect((await bucket.head("done"))?.size).toBe(FIRST.length);
    });

    it("are completed on condition, and stay when it does not hold", async () => {
      const { bucket } = await subject();
      const upload = await bucket.beginUpload("a");
      const piece = await put(bucket, upload, 1, FIRST);
      const { etag } = await bucket.put("a", "somebody else's");
      await expect(bucket.completeUpload(upload, [piece], { ifNoneMatch: "*" })).rejects.toEqual(kind("conflict"));
      await expect(bucket.completeUpload(upload, [piece], { ifMatch: "another" })).rejects.toEqual(kind("conflict"));
      expect((await bucket.head("a"))?.etag).toBe(etag);
      await bucket.completeUpload(upload, [piece], { ifMatch: etag });
      expect((await bucket.head("a"))?.size).toBe(FIRST.length);
    });

    it("refuse a completion with pieces that they do not have", async () => {
      const { bucket } = await subject();
      const upload = await bucket.beginUpload("a");
      const piece = await put(bucket, upload, 1, FIRST);
      const missing = { ...piece, number: 2 };
      await expect(bucket.completeUpload(upload, [piece, missing])).rejects.toEqual(kind("bad-input"));
      expect(await bucket.head("a")).toBeUndefined();
    });

    it("copy an object by themselves where the store does, as it was meant", async () => {
      const { bucket, wholes = false } = await subject();
      const described = { contentType: "video/mp4", metadata: { owner: "猫" } };
      const key = "a+b/source #1 100% 猫";
      const { etag: ifMatch } = await bucket.put(key, LAST, described);
      const { whole = 0 } = (await bucket.ownCopies(bucket)) ?? {};
      expect(whole > 0).toBe(wholes);
      const copying = bucket.copyObject("copy?#", { from: bucket, key, ifMatch });
      if (!wholes) return expect(copying).rejects.toEqual(kind("bad-input"));
      await copying;
      expect(await bucket.head("copy?#")).toMatchObject({ size: LAST.length, ...described });
      await bucket.put(key, FIRST);
      await expect(bucket.copyObject("copy?#", { from: bucket, key, ifMatch })).rejects.toEqual(kind("conflict"));
      expect(Buffer.compare(await bucket.get("copy?#"), LAST)).toBe(0);
    });

    it("copy pieces by themselves where the store does, of the object that was meant", async () => {
      const { bucket, copies = false } = await subject();
      const { etag } = await bucket.put("source #1 猫", WHOLE);
      const upload = await bucket.beginUpload("copy");
      const source = { from: bucket, key: "source #1 猫", ifMatch: etag };
      const first = await bucket.copyPiece(upload, 1, { ...source, range: [0, 5 * MB - 1] });
      expect(first !== undefined).toBe(copies);
      if (!first) return;
      const second = await bucket.copyPiece(upload, 2, { ...source, range: [5 * MB, WHOLE.length - 1] });
      const { pieces } = await bucket.listPieces(upload);
      expect(pieces).toEqual([first, second]);
      expect(pieces.map(({ size }) => size)).toEqual([5 * MB, WHOLE.length - 5 * MB]);
      await bucket.put("source #1 猫", FIRST);
      await expect(bucket.copyPiece(upload, 2, { ...source, range: [0, 99] })).rejects.toEqual(kind("conflict"));
      await bucket.completeUpload(upload, pieces);
      expect(Buffer.compare(await bucket.get("copy"), WHOLE)).toBe(0);
    });
  });
}
