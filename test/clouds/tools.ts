import { createHash } from "node:crypto";

/** A program that fits into the address it is fetched from. */
export const tool = (text: string) => ({
  url: `data:application/octet-stream,${text}`,
  sha256: createHash("sha256").update(text).digest("hex"),
});
