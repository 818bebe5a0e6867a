import type { PartPlan, SourcePlan } from "../../../parts/plan.ts";
import type { Problem } from "../../../shared/problem.ts";

/** https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/overview-of-oss-trigger */
const MOST_TRIGGERS = 10;

/** One OSS trigger: a function hears of some keys of a bucket. */
interface Hearing extends Extract<SourcePlan, { readonly type: "bucket.created" }> {
  readonly name: string;
}

/**
 * What a bucket refuses of triggers: more than ten, and two that hear of the same keys.
 *
 * @param all the stack's parts on this cloud, in the order they were declared
 * @param isNew whether the part of that name is to be checked now
 */
export function checkTriggers(all: readonly PartPlan[], isNew: (name: string) => boolean): readonly Problem[] {
  const hearings = all.flatMap((plan): readonly Hearing[] =>
    plan.kind === "function"
      ? plan.sources.flatMap((source) => (source.type === "bucket.created" ? [{ ...source, name: plan.name }] : []))
      : [],
  );
  return hearings.flatMap((hearing, index) => {
    if (!isNew(hearing.name)) return [];
    const others = hearings.slice(0, index).filter(({ bucket }) => bucket === hearing.bucket);
    return [...checkCount(hearing, others.length), ...checkOverlap(hearing, others)];
  });
}

const checkCount = ({ name, bucket }: Hearing, others: number): readonly Problem[] =>
  others < MOST_TRIGGERS
    ? []
    : [
        {
          path: `${name}.when`,
          message: `bucket "${bucket}" has as many OSS triggers as it takes, one for each prefix and suffix that a function hears of`,
          given: others + 1,
          allowed: `at most ${MOST_TRIGGERS}: hear of more by one prefix or suffix, and look at the key in the function`,
        },
      ];

/** "Cannot specify overlapping prefix and suffix with same event type", as in https://github.com/midwayjs/midway/issues/744 */
function checkOverlap(hearing: Hearing, others: readonly Hearing[]): readonly Problem[] {
  const other = others.find((one) => overlaps(one, hearing));
  if (!other) return [];
  return [
    {
      path: `${hearing.name}.when`,
      message: `"${other.name}" hears of keys ${keysOf(other)} of bucket "${hearing.bucket}" already, and OSS tells of an object once`,
      given: keysOf(hearing),
      allowed:
        "prefixes or suffixes that no key has both of; or one function that sends each object to a queue for each of the others",
    },
  ];
}

const overlaps = (one: Hearing, other: Hearing): boolean =>
  isEither(one.prefix, other.prefix, (long, short) => long.startsWith(short)) &&
  isEither(one.suffix, other.suffix, (long, short) => long.endsWith(short));

const isEither = (one: string, other: string, holds: (long: string, short: string) => boolean): boolean =>
  holds(one, other) || holds(other, one);

const keysOf = ({ prefix, suffix }: Hearing): string => `"${prefix}*${suffix}"`;
