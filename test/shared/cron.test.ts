import { Cron as Croner } from "croner";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Cron, parseCron } from "../../lib/shared/cron.ts";

const textOf = ({ minute, hour, dayOfMonth, month, dayOfWeek }: Cron): string =>
  [minute, hour, dayOfMonth, month, dayOfWeek].join(" ");

test("names become numbers, Sunday is 0", () => {
  expect(parseCron("0 4 1 JAN,feb sun-Tue")).toEqual({
    minute: "0",
    hour: "4",
    dayOfMonth: "1",
    month: "1,2",
    dayOfWeek: "0-2",
  });
  expect(parseCron("*/15 9-17/2 * * 7").dayOfWeek).toBe("0");
});

interface Range {
  readonly min: number;
  readonly max: number;
  readonly words?: readonly string[];
}
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

function field({ min, max, words = [] }: Range): fc.Arbitrary<string> {
  const end = (value: number) =>
    fc.constantFrom(String(value), ...(words[value - min] === undefined ? [] : [words[value - min]!]));
  const value = fc.integer({ min, max }).chain(end);
  const range = fc
    .tuple(fc.integer({ min, max }), fc.integer({ min, max }))
    .map(([one, other]) => [Math.min(one, other), Math.max(one, other)] as const)
    .chain(([first, last]) => fc.tuple(end(first), end(last)).map((ends) => ends.join("-")));
  const step = fc.tuple(fc.oneof(fc.constant("*"), range), fc.integer({ min: 1, max })).map((ends) => ends.join("/"));
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant("*") },
    {
      weight: 1,
      arbitrary: fc.array(fc.oneof(value, range, step), { minLength: 1, maxLength: 3 }).map((i) => i.join(",")),
    },
  );
}

const expression = fc
  .tuple(
    field({ min: 0, max: 59 }),
    field({ min: 0, max: 23 }),
    field({ min: 1, max: 31 }),
    field({ min: 1, max: 12, words: MONTHS }),
    field({ min: 0, max: 6, words: DAYS }),
  )
  .map((fields) => fields.join(" "));

test("a parsed expression comes round at the same times as the original", () => {
  fc.assert(
    fc.property(expression, fc.constantFrom("UTC", "Asia/Shanghai", "America/New_York"), (original, timezone) => {
      const from = new Date("2027-01-01T00:00:00Z");
      const times = (text: string) =>
        new Croner(text, { timezone }).nextRuns(5, from).map((time) => time.toISOString());
      expect(times(textOf(parseCron(original, timezone)))).toEqual(times(original));
    }),
    { numRuns: 300 },
  );
});

test("a parsed expression parses to itself", () => {
  fc.assert(
    fc.property(expression, (original) => {
      const parsed = parseCron(original);
      expect(parseCron(textOf(parsed))).toEqual(parsed);
    }),
  );
});

test("Sunday may be 7, also at the end of a range", () => {
  const from = new Date("2027-01-01T00:00:00Z");
  const times = (text: string) => new Croner(text, { timezone: "UTC" }).nextRuns(10, from).map(Number);
  for (const days of ["7", "5-7", "0-7", "*/7", "6-7/1", "1-7/2", "1-7/4", "7-7", "1,7", "fri-sun", "sat-SUN/1"]) {
    expect(times(textOf(parseCron(`0 0 * * ${days}`))), days).toEqual(times(`0 0 * * ${days}`));
    expect(parseCron(`0 0 * * ${days}`).dayOfWeek, "7 is no day to every cloud").not.toMatch(/(?<!\/)7/);
  }
});

test.each([
  ["0 4 * *", "five fields are wanted"],
  ["0 0 4 * * *", "five fields are wanted"],
  ["", "five fields are wanted"],
  ["60 4 * * *", 'minute is *, 0 to 59, a range (1-5), a list (1,3) or a step (*/15), got "60"'],
  ["0 24 * * *", "hour is *, 0 to 23"],
  ["0 0 0 * *", "dayOfMonth is *, 1 to 31"],
  ["0 0 1 13 *", "month is *, 1 to 12"],
  ["0 0 * * 8", "dayOfWeek is *, 0 to 7"],
  ["0 0 * * fri-mon", "dayOfWeek is"],
  ["5-1 * * * *", "minute is"],
  ["*/0 * * * *", "minute is"],
  ["1/5 * * * *", "minute is"],
  ["*/60 * * * *", "minute is"],
  ["0 */24 * * *", "hour is"],
  ["1, * * * *", "minute is"],
  ["1-2-3 * * * *", "minute is"],
  ["- * * * *", "minute is"],
  ["-1 * * * *", "minute is"],
  ["L * * * *", "minute is"],
  ["? * * * *", "minute is"],
  ["0 0 L * *", "dayOfMonth is"],
  ["0 0 * foo *", "month is"],
  ["*/ * * * *", "minute is"],
  ["1.5 * * * *", "minute is"],
])("%j is refused: %s", (original, message) => {
  expect(() => parseCron(original)).toThrow(message);
  expect(() => parseCron(original)).toThrow(`"${original}"`);
});

test("an unknown time zone is refused", () => {
  expect(() => parseCron("0 4 * * *", "Mars/Olympus")).toThrow(
    'IANA name such as "Asia/Shanghai" or "UTC", got "Mars/Olympus"',
  );
});
