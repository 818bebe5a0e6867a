import { type Duration, toSeconds } from "../shared/duration.ts";
import type { PartNames } from "./construct.ts";
import type { BucketPlan } from "./plan.ts";

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

export const bucketPlan = (
  names: PartNames,
  { expires, versioned = false, removable = false, existing }: BucketSpec,
): BucketPlan => ({
  kind: "bucket",
  ...names,
  ...(expires !== undefined && { expires: toSeconds(expires) }),
  versioned,
  removable,
  ...(existing !== undefined && { existing }),
});
