type Unit = "second" | "minute" | "hour" | "day";

/** A length of time as people write it: `"30 seconds"`, `"1 hour"`, `"1.5 days"`. */
export type Duration = `${number} ${Unit | `${Unit}s`}`;

const SECONDS: Readonly<Record<string, number>> = { second: 1, minute: 60, hour: 3600, day: 86_400 };

/**
 * The seconds in a duration.
 *
 * @throws if the text is not a number and a unit.
 * @example
 * toSeconds("15 minutes"); // 900
 */
export function toSeconds(duration: Duration): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?) (second|minute|hour|day)s?$/.exec(duration) ?? [];
  if (amount === undefined || unit === undefined) {
    throw new Error(
      `a duration is a number and a unit, such as "30 seconds", "15 minutes", "24 hours" or "7 days", got "${duration}"`,
    );
  }
  return Number(amount) * SECONDS[unit]!;
}

/** The milliseconds in a duration. */
export const toMilliseconds = (duration: Duration): number => toSeconds(duration) * 1000;

/** Seconds as people write them, in the largest unit that keeps them whole: `900` is `"15 minutes"`. */
export function toDuration(seconds: number): Duration {
  const unit =
    (["day", "hour", "minute"] as const).find((name) => seconds >= SECONDS[name]! && seconds % SECONDS[name]! === 0) ??
    ("second" as const);
  const amount = seconds / SECONDS[unit]!;
  return amount === 1 ? `${amount} ${unit}` : `${amount} ${unit}s`;
}
