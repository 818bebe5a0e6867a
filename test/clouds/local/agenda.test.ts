import { expect, test } from "vitest";
import { Agenda, type Duty } from "../../../lib/clouds/local/host/agenda.ts";
import { VirtualClock } from "../../../lib/clouds/local/host/virtual-clock.ts";

/** Due at once until it has succeeded. */
function failing(times: number) {
  const ran: number[] = [];
  let isDone = false;
  const duty: Duty = {
    next: () => (isDone ? undefined : 0),
    run(now) {
      ran.push(now);
      if (ran.length <= times) throw new Error(`failure ${ran.length}`);
      isDone = true;
    },
  };
  return { duty, ran };
}

test("a duty that fails is told of, holds up no other, and is tried again every second", async () => {
  const clock = new VirtualClock();
  const told: unknown[] = [];
  const agenda = new Agenda(clock, (error) => told.push((error as Error).message));
  const [first, second] = [failing(2), failing(0)];
  const began = clock.now();
  agenda.add(first.duty);
  agenda.add(second.duty);
  await clock.advance("0 seconds");
  expect(second.ran).toEqual([began]);
  expect(agenda.isQuiet).toBe(true);
  await clock.advance("10 seconds");
  expect(first.ran).toEqual([began, began + 1000, began + 2000]);
  expect(told).toEqual(["failure 1", "failure 2"]);
  agenda.stop();
});
