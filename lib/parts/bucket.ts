import type { Duration } from "../shared/duration.ts";
import { type Problem, unless } from "../shared/problem.ts";
import type { Bucket, PartNames } from "./part.ts";
import type { BucketPlan } from "./plan.ts";
import type { Units } from "./units.ts";

/** A bucket: private, encrypted, incomplete uploads aborted. */
export interface BucketSpec {
  /** Objects are removed after that long. @default kept for ever */
  readonly expires?: Duration;
  /** Whether overwritten and removed objects are kept as versions. @default no */
  readonly versioned?: boolean;
  /** Whether destroying the stack may delete the bucket with all in it. @default it is kept */
  readonly removable?: boolean;
  /** A bucket you have already, by its physical name: used as it is, never changed. @default a new one is made */
  readonly existing?: string;
}

const OPTIONS = {
  expires: true,
  versioned: true,
  removable: true,
  existing: true,
} satisfies Readonly<Record<keyof BucketSpec, true>>;

export function bucketPlan(names: PartNames, spec: BucketSpec, units: Units): BucketPlan {
  units.options(spec, OPTIONS);
  const { versioned = false, removable = false, existing } = spec;
  const expires = units.seconds("expires", spec.expires);
  return {
    kind: "bucket",
    ...names,
    ...(expires !== undefined && { expires }),
    versioned,
    removable,
    ...(existing !== undefined && { existing }),
  };
}

/** Whether two are one, also as a bucket that is there already. */
export const isSame = (one: Bucket, other: Bucket): boolean =>
  one === other || (one.plan.existing !== undefined && one.plan.existing === other.plan.existing);

/**
 * What is wrong with a text that keys are to begin with.
 *
 * @param example one that is right
 */
export const prefixProblems = (path: string, prefix: string, example = "in/"): readonly Problem[] =>
  unless(!/^\/|(^|\/)\.\.?(\/|$)|[\p{Cc}\\]/u.test(prefix), {
    path,
    message: "a prefix of keys has no slash at its start, no . or .. as folders, no backslash or control character",
    given: prefix,
    allowed: `such as "${example}"`,
  });
