import { shortHash } from "../../shared/name.ts";
import { MillraceError } from "../errors.ts";

/** One attempt of a run, by name. */
export interface AttemptRef {
  readonly task: string;
  readonly id: string;
  /** 1 at the first attempt; counts on over retries and rounds. */
  readonly attempt: number;
}

/** The id of an attempt on its platform: `<id>--a<n>`. Two attempts of one task never share it. */
export const attemptId = ({ id, attempt }: Pick<AttemptRef, "id" | "attempt">): string => `${id}--a${attempt}`;

const LONGEST_ID = 200;

/** @throws `refused` unless the id is 1 to 200 characters and none of them is a control character. */
export function checkId(id: string): void {
  const { base } = splitRerun(id);
  const length = [...base].length;
  if (length < 1 || length > LONGEST_ID) {
    throw new MillraceError("refused", `id: must be 1 to ${LONGEST_ID} characters, got ${length}`);
  }
  // A half surrogate has no UTF-8 form: two ids would become one on the way to disk.
  if (/[\p{Cc}\p{Cs}]/u.test(id)) {
    throw new MillraceError("refused", `id: must hold no control characters, got ${JSON.stringify(id)}`);
  }
}

/** The id of a run made again: `<id>--r<n>`. */
export const rerunId = (base: string, number: number): string => `${base}--r${number}`;

/** A run's id without its `--r<n>`, and the n; 0 where there is none. */
export function splitRerun(id: string): { readonly base: string; readonly number: number } {
  const [, base, number] = /^(.+)--r([1-9]\d{0,8})$/su.exec(id) ?? [];
  return base !== undefined ? { base, number: Number(number) } : { base: id, number: 0 };
}

/** What a platform's whole names must look like. */
export interface PlatformNameRule {
  /** The longest name, in characters; at least 24. */
  readonly max: number;
  readonly pattern: RegExp;
}

/** A name every platform takes, with room for suffixes: Kubernetes' is the strictest, 63 characters, 52 for a CronJob. */
export const PORTABLE_NAME: PlatformNameRule = { max: 52, pattern: /^[a-z](?:[a-z0-9-]*[a-z0-9])?$/ };

const HASH_LENGTH = 10;
const HASHED = new RegExp(`-[a-z0-9]{${HASH_LENGTH}}$`);

/**
 * The name of an id on a platform with strict names: the id itself where the rule allows it, else a readable
 * part and a hash of tenant and id. An id that ends like a hash is hashed too, so that it cannot pose as another's name.
 */
export function platformName(id: string, rule: PlatformNameRule, tenant = ""): string {
  if (id.length <= rule.max && rule.pattern.test(id) && !HASHED.test(id)) return id;
  const slug = id
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, Math.min(40, rule.max - HASH_LENGTH - 1))
    .replace(/-+$/, "");
  return `${slug || "run"}-${shortHash(`${tenant}\0${id}`, HASH_LENGTH)}`;
}
