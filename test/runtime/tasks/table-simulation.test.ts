import { describe, expect, test } from "vitest";
import { TableSimulation, type TableTroubles } from "./table-simulation.ts";
import { tempJournal } from "./world.ts";

const STEPS = 400;

/** A failing world is made again by its name: `SEED=17 vitest run table-simulation -t "everything"`. */
const only = process.env.SEED === undefined ? undefined : Number(process.env.SEED);

const WORLDS: readonly [name: string, seeds: number, troubles: TableTroubles][] = [
  ["three processes", 6, { processes: 3, crashes: false, faults: false, losses: false }],
  [
    "calls that fail before or after they took effect",
    8,
    { processes: 2, crashes: false, faults: true, losses: false },
  ],
  ["processes that die between two calls", 10, { processes: 3, crashes: true, faults: false, losses: false }],
  ["everything at once", 14, { processes: 3, crashes: true, faults: true, losses: true }],
];

describe("several processes on one table, in random order with random troubles, keep every rule at every step", () => {
  test.each(WORLDS)("%s", async (name, seeds, troubles) => {
    const journal = tempJournal();
    let runs = 0;
    let attempts = 0;
    for (const seed of only === undefined ? Array.from({ length: seeds }, (_, index) => index + 1) : [only]) {
      try {
        const end = await new TableSimulation(seed, troubles, journal).run(STEPS);
        runs += end.runs;
        attempts += end.attempts;
      } catch (error) {
        throw new Error(`${name}, seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    // The worlds are not empty ones.
    if (only === undefined) expect({ runs, attempts }).toSatisfy(() => runs > seeds * 8 && attempts > seeds * 8);
  });
});
