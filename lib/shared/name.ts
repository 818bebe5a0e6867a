import { createHash } from "node:crypto";

/** What a service allows in a name. */
export interface NameRule {
  /** The longest name, in characters. */
  readonly max: number;
  /** One allowed character; every other one becomes `-`. */
  readonly allowed: RegExp;
  /** Whether upper case is refused. @default upper case is kept */
  readonly lowerCase?: boolean;
}

/** What makes a physical name the stack's own. */
export interface NameOwner {
  readonly account: string;
  readonly project: string;
  readonly stack: string;
}

const HASH_LENGTH = 8;

/**
 * The name to give the cloud: the stem, cut to fit, and a hash of owner and whole stem, so that two names
 * never meet and a cut is never silent. It begins with a letter and ends with a letter or digit, as every service allows.
 */
export function physicalName(stem: string, owner: NameOwner, rule: NameRule): string {
  const hash = shortHash([owner.account, owner.project, owner.stack, stem].join("\0"), HASH_LENGTH);
  const cased = rule.lowerCase ? stem.toLowerCase() : stem;
  const allowed = [...cased].map((character) => (rule.allowed.test(character) ? character : "-")).join("");
  const begun = allowed.replace(/^[^A-Za-z0-9]+/, "").replace(/^(?![A-Za-z])/, "m-");
  return `${begun.slice(0, rule.max - HASH_LENGTH - 1).replace(/[^A-Za-z0-9]+$/, "")}-${hash}`;
}

/** The first characters of a text's SHA-256, in base 36 lower case: safe in every service's names. */
export function shortHash(text: string, length = 10): string {
  const digest = createHash("sha256").update(text).digest("hex");
  return BigInt(`0x${digest}`).toString(36).padStart(50, "0").slice(0, length);
}
