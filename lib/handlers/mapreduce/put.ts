import { Readable } from "node:stream";
import { following } from "../../runtime/pieces.ts";
import type { BucketWriter, ObjectInfo, PutOptions } from "../../runtime/ports.ts";

/** Puts what is made, as it is made; nothing if there is none. @throws what the bytes fail with */
export async function putBytes(
  bucket: Pick<BucketWriter, "put">,
  key: string,
  bytes: AsyncGenerator<Buffer, void>,
  options: PutOptions = {},
): Promise<ObjectInfo | undefined> {
  const first = await bytes.next();
  if (first.done) return undefined;
  const failed: unknown[] = [];
  const body = Readable.from(watched(following([first.value], bytes), failed), { objectMode: false });
  try {
    return await bucket.put(key, body, options);
  } catch (error) {
    // What failed is what made the bytes, whatever the store makes of a body that ends so.
    throw failed.length > 0 ? failed[0] : error;
  }
}

async function* watched(bytes: AsyncIterable<Buffer>, failed: unknown[]): AsyncGenerator<Buffer, void> {
  try {
    yield* bytes;
  } catch (error) {
    failed.push(error);
    throw error;
  }
}
