import { expect, test } from "vitest";
import { Trial } from "../real/etl/trial.ts";

const RECORDS = Number(process.env.MILLRACE_SOAK_RECORDS ?? 1_000_000);
const POISON = RECORDS / 100;
const FOUND = { records: RECORDS, poison: POISON, sink: RECORDS - POISON, dead: POISON };
const FAULTLESS = { missing: 0, twice: 0, wrong: 0, deadMissing: 0, deadTwice: 0, deadWrong: 0, disorder: 0 };

/** Twenty kills, five restarts of the broker; a twentieth of the records comes a second time. */
const TROUBLES = {
  ...{ functions: 14, members: 6, brokers: 5, rebalances: 3 },
  ...{ rewinds: 3, rewound: Math.ceil(RECORDS / 12 / 50) },
};

test("a million records through kills, restarts and rebalances: every one once, every poison one once", async () => {
  const trial = await Trial.start(2);
  const begun = performance.now();
  const again = await trial.run({ records: RECORDS, troubles: TROUBLES, longest: 28 * 60_000 });
  console.log(`${((performance.now() - begun) / 60_000).toFixed(1)} minutes; ${again} records came again`);
  expect(again).toBeGreaterThan(RECORDS / 20);
  expect(await trial.check()).toEqual({ ...FOUND, ...FAULTLESS });
});
