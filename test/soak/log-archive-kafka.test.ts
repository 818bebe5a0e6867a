import { expect, test } from "vitest";
import { FAULTLESS, ODD, Trial } from "../real/archive/trial.ts";

const LINES = Number(process.env.MILLRACE_SOAK_LINES ?? 200_000);

test("200 applications over a real broker, with twenty kills, five restarts and four pauses: every line once, in order", async () => {
  const trial = await Trial.start(4);
  const begun = performance.now();
  const troubles = { functions: 14, clouds: 6, brokers: 5, pauses: 4 };
  const report = await trial.run({ lines: LINES, applications: 200, troubles, longest: 10 * 60_000 });
  console.log(`${((performance.now() - begun) / 60_000).toFixed(1)} minutes, ${report.files} files`);
  expect(report).toEqual({ lines: LINES + ODD, applications: 200, files: expect.any(Number), ...FAULTLESS });
});
