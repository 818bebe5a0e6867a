import type { Reporter, TestCase, TestModule, Vitest } from "vitest/node";

/** Says which tests were skipped, and why. Where everything is there (`CI=true`), a test that is skipped has failed. */
export class SkippedTests implements Reporter {
  #isFiltered = false;

  onInit(vitest: Vitest): void {
    this.#isFiltered = vitest.config.testNamePattern !== undefined;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => [...module.children.allTests("skipped")]);
    if (skipped.length === 0 || this.#isFiltered) return;
    const isCi = Boolean(process.env.CI);
    console.error(`\n${skipped.length} skipped${isCi ? ", which fails the run where CI is set" : ""}:`);
    for (const test of skipped) console.error(`  ${describe(test)}`);
    if (isCi) process.exitCode = 1;
  }
}

/** The reason is what the test gave to `skip`, or a part of its title. */
function describe(test: TestCase): string {
  const result = test.result();
  const title = `${test.module.relativeModuleId} > ${test.fullName}`;
  return "note" in result && result.note ? `${title}: ${result.note}` : title;
}
