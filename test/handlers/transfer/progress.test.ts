import { expect, test } from "vitest";
import { Progress } from "../../../lib/handlers/transfer/progress.ts";

test("a worker says how far it is, at which rate, and how long it still takes; the log has it every half minute", () => {
  const said: unknown[] = [];
  const logged: string[] = [];
  let now = 0;
  const progress = new Progress(100 * 2 ** 20, {
    run: { progress: (fraction, message) => void said.push([fraction, message]) },
    clock: { now: () => now } as never,
    metrics: { count: () => {} } as never,
    log: { info: (message) => void logged.push(message) },
  });
  progress.skip(20 * 2 ** 20);
  const steps = [
    [10, 10],
    [25, 10],
    [31, 20],
    [45, 10],
    [61, 30],
  ] as const;
  for (const [second, megabytes] of steps) {
    now = second * 1000;
    progress.add(megabytes * 2 ** 20);
  }
  expect(said[0]).toEqual([0.3, "30 MB of 100 MB, 1 MB/s, 70 s left"]);
  expect(said.at(-1)).toEqual([1, expect.stringMatching(/^100 MB of 100 MB, 1\.31 MB\/s, 0 s left$/)]);
  expect(logged).toEqual([
    expect.stringMatching(/^copying: 60 MB of 100 MB, .* left$/),
    expect.stringMatching(/^copying: 100 MB of 100 MB, .* left$/),
  ]);
});
