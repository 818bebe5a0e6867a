import fc from "fast-check";
import { expect, test } from "vitest";
import { type Duration, toDuration, toMilliseconds, toSeconds } from "../../lib/shared/duration.ts";

test.each([
  ["1 second", 1],
  ["30 seconds", 30],
  ["1.5 minutes", 90],
  ["15 minutes", 900],
  ["24 hours", 86_400],
  ["0 seconds", 0],
  ["7 days", 604_800],
] as const)("%s is %d seconds", (text, seconds) => {
  expect(toSeconds(text)).toBe(seconds);
  expect(toMilliseconds(text)).toBe(seconds * 1000);
});

test.each(["", "15", "15minutes", "15  minutes", "-1 minutes", "1e3 seconds", "1 week", "15 Minutes", ".5 hours"])(
  "%j is refused, with examples of what is wanted",
  (text) => {
    expect(() => toSeconds(text as Duration)).toThrow(
      `a duration is a number and a unit, such as "30 seconds", "15 minutes", "24 hours" or "7 days", got "${text}"`,
    );
  },
);

test("seconds are written in the largest unit that keeps them whole", () => {
  expect([900, 1, 3600, 5400, 86_400, 90_000, 0].map(toDuration)).toEqual([
    "15 minutes",
    "1 second",
    "1 hour",
    "90 minutes",
    "1 day",
    "25 hours",
    "0 seconds",
  ]);
});

test("every number of seconds comes back from its text", () => {
  fc.assert(
    fc.property(fc.nat(10 ** 9), (seconds) => {
      expect(toSeconds(toDuration(seconds))).toBe(seconds);
    }),
  );
});

test("a part of a second comes back from its text", () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1, noNaN: true }), (seconds) => {
      expect(toSeconds(toDuration(seconds))).toBeCloseTo(seconds, 6);
    }),
  );
});
