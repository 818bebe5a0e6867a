/** The five fields of a cron expression, checked, with names turned into numbers. */
export interface Cron {
  readonly minute: string;
  readonly hour: string;
  readonly dayOfMonth: string;
  readonly month: string;
  /** 0 to 6, Sunday is 0. */
  readonly dayOfWeek: string;
}

const FIELDS = [
  { name: "minute", min: 0, max: 59, words: [] },
  { name: "hour", min: 0, max: 23, words: [] },
  { name: "dayOfMonth", min: 1, max: 31, words: [] },
  {
    name: "month",
    min: 1,
    max: 12,
    words: ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
  },
  { name: "dayOfWeek", min: 0, max: 7, words: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
] as const;

/**
 * Reads five fields (minute hour day-of-month month day-of-week), each `*`, numbers, names, ranges, lists and steps,
 * which is what every cloud can say; each cloud translates the result into its own form.
 *
 * @throws with the field and the values allowed.
 */
export function parseCron(expression: string, timeZone = "UTC"): Cron {
  const parts = expression.trim().split(/\s+/);
  if (parts.length !== FIELDS.length) {
    throw new Error(
      `cron: five fields are wanted (minute hour day-of-month month day-of-week), such as "0 4 * * *", got "${expression}"`,
    );
  }
  checkTimeZone(timeZone);
  const entries = FIELDS.map((field, index) => [field.name, parseField(field, parts[index]!, expression)]);
  return Object.fromEntries(entries) as unknown as Cron;
}

type Field = (typeof FIELDS)[number];

const parseField = (field: Field, text: string, expression: string): string =>
  text
    .split(",")
    .map((item) => parseItem(field, item, expression))
    .join(",");

function parseItem(field: Field, item: string, expression: string): string {
  const [, range = "", step] = /^([^/]+)(?:\/(\d+))?$/.exec(item) ?? [];
  const ends = range === "*" ? [] : range.split("-").map((end, index) => toNumber(field, end, index === 1));
  const isRange =
    range === "*" ||
    (ends.length >= 1 && ends.length <= 2 && ends.every((end) => end >= field.min && end <= field.max));
  const isOrdered = ends.length < 2 || ends[0]! <= ends[1]!;
  const isStep =
    step === undefined || (Number(step) >= 1 && Number(step) <= field.max && (range === "*" || ends.length === 2));
  if (!isRange || !isOrdered || !isStep) {
    throw new Error(
      `cron: ${field.name} is *, ${field.min} to ${field.max}, a range (1-5), a list (1,3) or a step (*/15), got "${item}" in "${expression}"`,
    );
  }
  if (field.name === "dayOfWeek" && ends.at(-1) === 7) return daysUpToSunday(ends[0]!, Number(step ?? 1));
  const start = range === "*" ? "*" : ends.join("-");
  return step === undefined ? start : `${start}/${step}`;
}

/** Sunday may be written 7 at the end of a week, which not every cloud reads: the days one by one, Sunday as 0. */
function daysUpToSunday(first: number, step: number): string {
  const days = Array.from({ length: 8 }, (_, day) => day).filter((day) => day >= first && (day - first) % step === 0);
  return [...new Set(days.map((day) => day % 7))].sort().join(",");
}

/** A name or number as a number; a range ends with the Sunday after its first day: `fri-sun` is 5 to 7. */
function toNumber(field: Field, text: string, isEnd: boolean): number {
  const index = field.words.findIndex((word) => word !== "" && word === text.toLowerCase());
  if (index === 0 && isEnd) return 7;
  return index >= 0 ? index : /^\d+$/.test(text) ? Number(text) : Number.NaN;
}

function checkTimeZone(timeZone: string): void {
  try {
    new Intl.DateTimeFormat("en", { timeZone });
  } catch {
    throw new Error(`cron: timeZone is an IANA name such as "Asia/Shanghai" or "UTC", got "${timeZone}"`);
  }
}
