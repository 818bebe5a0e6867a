import { expect, test } from "vitest";
import { FAULTLESS, ODD, Trial } from "./archive/trial.ts";

/** `MILLRACE_KAFKA` names another Kafka to use. */
test("from a real broker to the bucket, through kills -9, a pause and a restart: every line once, in order", async () => {
  const trial = await Trial.start(3);
  const troubles = { functions: 2, clouds: 1, brokers: 1, pauses: 1 };
  const report = await trial.run({ lines: 12_000, applications: 20, troubles, longest: 120_000 });
  expect(report).toEqual({ lines: 12_000 + ODD, applications: 20, files: expect.any(Number), ...FAULTLESS });
});
