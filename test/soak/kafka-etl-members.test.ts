import { expect, test } from "vitest";
import { Trial } from "../real/etl/trial.ts";

const RECORDS = 20_000;
const POISON = RECORDS / 100;
const FOUND = { records: RECORDS, poison: POISON, sink: RECORDS - POISON, dead: POISON };
const FAULTLESS = { missing: 0, twice: 0, wrong: 0, deadMissing: 0, deadTwice: 0, deadWrong: 0, disorder: 0 };

test("two members of a group, killed with all they do, a broker that restarts, records that come again", async () => {
  const trial = await Trial.start(1);
  const troubles = { functions: 2, members: 1, brokers: 1, rebalances: 0, rewinds: 1, rewound: RECORDS / 200 };
  const again = await trial.run({ records: RECORDS, troubles, longest: 200_000 });
  expect(again).toBeGreaterThan(0);
  expect(await trial.check()).toEqual({ ...FOUND, ...FAULTLESS });

  // Who counts would see what comes twice.
  const [first] = await trial.kafka.read("things-sink");
  await trial.kafka.stream("things-sink").send([first!]);
  expect(await trial.check()).toMatchObject({ sink: FOUND.sink + 1, twice: 1 });
}, 300_000);
