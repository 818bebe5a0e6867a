import { describe, expect, test } from "vitest";
import { Simulation, type Troubles } from "./simulation.ts";
import { tempJournal } from "./world.ts";

const STEPS = 200;

/** A failing world is made again by its name: `SEED=17 vitest run -t "two processes"`. */
const only = process.env.SEED === undefined ? undefined : Number(process.env.SEED);

const WORLDS: readonly [name: string, seeds: number, troubles: Troubles][] = [
  ["calm, one process", 30, { processes: "one", crashes: false, losses: false, faults: false }],
  ["calm, two processes", 30, { processes: "two", crashes: false, losses: false, faults: false }],
  ["a host that crashes", 50, { processes: "one", crashes: true, losses: false, faults: false }],
  ["a platform that loses and repeats", 50, { processes: "two", crashes: false, losses: true, faults: false }],
  ["everything at once, one process", 60, { processes: "one", crashes: true, losses: true, faults: true }],
  ["everything at once, two processes", 80, { processes: "two", crashes: true, losses: true, faults: true }],
];

describe("in random order, with random troubles, every rule holds at every step", () => {
  test.each(WORLDS)("%s", async (name, seeds, troubles) => {
    const journal = tempJournal();
    let runs = 0;
    let outcomes = 0;
    for (const seed of only === undefined ? Array.from({ length: seeds }, (_, index) => index + 1) : [only]) {
      try {
        const end = await new Simulation(seed, troubles, journal).run(STEPS);
        runs += end.runs;
        outcomes += end.outcomes;
      } catch (error) {
        throw new Error(`${name}, seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    // The worlds are not empty ones.
    if (only === undefined) expect({ runs, outcomes }).toSatisfy(() => runs > seeds * 15 && outcomes > seeds * 15);
  });
});
