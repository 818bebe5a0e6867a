import type { Reporter, TestModule } from "vitest/node";

/**
 * Tests run once; where CI is set a test that fails is tried once more. These trials kill real processes and race real
 * servers on two busy cores: one that passes when tried again is named here, to be mended, and holds nothing up.
 */
export const RETRY = process.env.CI ? 1 : 0;

/** Says which tests passed only when tried again, and what they said the first time. */
export class FlakyTests implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const flaky = modules
      .flatMap((module) => [...module.children.allTests("passed")])
      .filter((test) => test.diagnostic()?.flaky);
    if (flaky.length === 0) return;
    console.error(`\n${flaky.length} passed only when tried again:`);
    for (const test of flaky) {
      console.error(`  ${test.module.relativeModuleId} > ${test.fullName}`);
      for (const { message } of test.result().errors ?? []) console.error(`    ${message.split("\n", 1)[0]}`);
    }
  }
}
