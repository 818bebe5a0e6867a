import { shortHash } from "../name.ts";

/** What a record belongs to that names no application. */
export const UNKNOWN_APPLICATION = "unknown";

/** The longest name of an application that is kept, in characters; longer ones are told apart all the same. */
const LONGEST_NAME = 1024;

/**
 * A part of a path and a key that stands for an application, whatever its name is: the name itself where that is short
 * and plain, else what is plain of it and a hash. A `~` is in no plain name, so that two applications never meet, and
 * no upper case is, so that they do not on a file system that knows no case either.
 *
 * @example
 * folderOf("orders"); // "orders"
 * folderOf("../Orders"); // "orders~0x3k…"
 */
export function folderOf(application: string): string {
  if (/^[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}$/.test(application) && !application.endsWith(".")) return application;
  const plain = application.slice(0, LONGEST_PLAIN).toLowerCase();
  const stem = plain.replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
  return `${stem}~${shortHash(application, HASH_LENGTH)}`;
}

const LONGEST_PLAIN = 40;
/** 82 bits: nobody finds two names that meet. */
const HASH_LENGTH = 16;

/** The name as rows and metadata keep it: Unicode text, no longer than that. */
export const shownName = (application: string, longest = LONGEST_NAME): string =>
  application.slice(0, longest).replace(/\p{Surrogate}/gu, "\ufffd");
