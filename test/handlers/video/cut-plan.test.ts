import { expect, test } from "vitest";
import { cutPlan } from "../../../lib/handlers/video/slices/cut-plan.ts";
import type { Packet } from "../../../lib/handlers/video/slices/packets.ts";

/** A picture of that many frames with a key frame every so many, as it lies in a file without reordered frames. */
const film = (
  frames: number,
  group: number,
  rate = 25,
  change: (packet: Packet, index: number) => object = () => ({}),
) =>
  Array.from({ length: frames }, (_, index): Packet => {
    const packet = {
      pts: index / rate,
      dts: index / rate,
      duration: 1 / rate,
      isKey: index % group === 0,
      isShown: true,
    };
    return { ...packet, ...change(packet, index) };
  });

const slices = (packets: readonly Packet[], options: { length?: number; atMost?: number } = {}, rate = 25) => {
  const plan = cutPlan(packets, rate, { atMost: 40, ...options });
  if ("reason" in plan) throw new Error(plan.reason);
  return plan.slices;
};
const lengths = (...args: Parameters<typeof slices>) => slices(...args).map(({ length }) => length);

test("cuts lie at the key frames nearest to equal distances, and all frames are in one slice", () => {
  expect(lengths(film(250, 10), { length: 2 })).toEqual([50, 50, 50, 50, 50]);
  expect(lengths(film(250, 30), { length: 2 })).toEqual([60, 30, 60, 60, 40]);
  expect(slices(film(250, 10), { length: 2 }).map(({ zero }) => Math.round(zero * 1e6) + 0)).toEqual(
    [0, 2, 4, 6, 8].map((seconds) => seconds * 1e6),
  );
});

test("how long slices are follows the video, its key frames and how many there may be", () => {
  const hour = film(3600 * 25, 50);
  expect(slices(hour)).toHaveLength(40);
  expect(slices(hour, { atMost: 200 })).toHaveLength(180);
  expect(slices(film(3600 * 25, 250), { atMost: 200 })).toHaveLength(90);
  expect(slices(hour, { length: 1200 })).toHaveLength(3);
  expect(slices(hour, { length: 1 })).toHaveLength(40);
  expect(slices(film(400, 50))).toHaveLength(1);
  expect(slices(film(1, 1))).toEqual([{ zero: expect.closeTo(0), length: 1 }]);
});

test("one key frame is one slice, and fewer key frames than slices are no problem", () => {
  expect(lengths(film(250, 1000), { length: 1 })).toEqual([250]);
  expect(lengths(film(250, 100), { length: 1 })).toEqual([100, 100, 50]);
});

test("the grid lies where the frames are, rounded as they may be, and counts the places that have none", () => {
  const rate = 30_000 / 1001;
  const rounded = film(900, 30, rate, ({ pts }) => ({ pts: Math.round(pts * 1000) / 1000 + 0.017 }));
  const found = slices(rounded, { length: 5 }, rate);
  expect(found.map(({ length }) => length)).toEqual([150, 150, 150, 150, 150, 150]);
  expect(found[0]!.zero).toBeCloseTo(0.017, 3);
  expect(found[5]!.zero).toBeCloseTo(0.017 + 750 / rate, 3);
  const gap = film(250, 10).filter((_, index) => index < 101 || index > 104);
  expect(lengths(gap, { length: 5 })).toEqual([120, 130]);
});

test.each([
  ["says when every frame", film(50, 10, 25, (_, index) => (index === 7 ? { pts: Number.NaN } : {}))],
  [
    "times jump at 20.40 s",
    film(50, 10, 25, ({ pts, dts }, index) => (index > 9 ? { pts: pts + 20, dts: dts + 20 } : {})),
  ],
  [
    "times jump at 0.20 s",
    film(50, 10, 25, ({ pts, dts }, index) => (index > 24 ? { pts: pts - 0.8, dts: dts - 0.8 } : {})),
  ],
  ["several frames are shown at the same time", film(50, 10, 25, (_, index) => (index === 7 ? { pts: 0.24 } : {}))],
  ["there is no frame", []],
])("it is said why a picture is not cut: %s", (reason, packets) => {
  const plan = cutPlan(packets, 25, { atMost: 40 });
  expect("reason" in plan && plan.reason).toMatch(reason === "says when every frame" ? /does not say when/ : reason);
});

test("frames that an edit list hides are in no slice", () => {
  expect(
    lengths(
      film(250, 10, 25, (_, index) => ({ isShown: index >= 25 })),
      { length: 100 },
    ),
  ).toEqual([225]);
});
