import type {
  BucketReader,
  BucketRemover,
  BucketWriter,
  Context,
  FunctionInvoked,
} from "../../../lib/runtime/index.ts";

interface Links {
  readonly from: BucketReader & BucketRemover;
  readonly to: BucketWriter;
}

/** Moves an object to another bucket, wherever that is; answers what it is linked to. */
export async function handler({ payload }: FunctionInvoked<{ key: string }>, { links }: Context<Links>) {
  await links.to.put(payload.key, await links.from.get(payload.key), { contentType: "text/plain" });
  await links.from.remove(payload.key);
  return Object.keys(links).sort();
}
