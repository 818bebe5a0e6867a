import { MillraceError } from "./errors.ts";
import type { BucketUploader } from "./ports.ts";

/** What a store answers that copies nothing by itself. */
export const NO_COPIES: Pick<BucketUploader, "ownCopies" | "copyObject" | "copyPiece"> = {
  ownCopies: async () => undefined,
  copyObject: async (key) => {
    throw new MillraceError("bad-input", `copyObject "${key}": this store copies nothing by itself`);
  },
  copyPiece: async () => undefined,
};
