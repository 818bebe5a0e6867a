import { readFile } from "node:fs/promises";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { SecretReader } from "../../../runtime/ports.ts";

/** A key of a Secret that is mounted as a file; the cluster changes the file when the Secret changes. */
export const port = (address: LinkAddress): SecretReader => ({
  async value() {
    const path = field(address, "path");
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      const message = `secret ${address.part}: there is no file ${path}: has the Secret that key?`;
      throw new MillraceError("not-found", message, { cause: error });
    }
  },
});
