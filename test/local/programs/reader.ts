import type { BucketReader, Context, FunctionInvoked } from "../../../lib/runtime/index.ts";

/** Opens every object as a file: what lies in the invocation's folder is cleared away when it ends. */
export async function handler(_event: FunctionInvoked, { links }: Context<{ readonly papers: BucketReader }>) {
  const { objects } = await links.papers.list();
  for (const { key } of objects) await links.papers.file(key);
  return objects.length;
}
