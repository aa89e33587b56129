// A vitest reporter that only counts: it writes what `npm test` prints as its last lines to the file VARVE_TEST_COUNTS.

import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule, SerializedError } from 'vitest/node';

/** What the reporter writes, as JSON. */
export interface TestCounts {
  readonly passed: number;
  /** Tests, plus files that could not be loaded, suites whose hooks failed, and errors outside of any test. */
  readonly failed: number;
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

export default class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const path = process.env['VARVE_TEST_COUNTS'];
    if (path) writeFileSync(path, JSON.stringify(countTests(modules, unhandledErrors.length)));
  }
}

function countTests(modules: readonly TestModule[], unhandledErrors: number): TestCounts {
  const tests = modules.flatMap((module) => [...module.children.allTests()]);
  const brokenFiles = modules.filter((module) => module.errors().length > 0).length;
  const brokenSuites = modules
    .flatMap((module) => [...module.children.allSuites()])
    .filter((suite) => suite.errors().length > 0).length;
  const skipped = tests.flatMap((test) => {
    const result = test.result();
    if (result.state !== 'skipped') return [];
    return [{ name: `${test.module.relativeModuleId}: ${test.fullName}`, reason: result.note ?? '' }];
  });
  return {
    passed: tests.filter((test) => test.result().state === 'passed').length,
    failed:
      tests.filter((test) => test.result().state === 'failed').length + brokenFiles + brokenSuites + unhandledErrors,
    skipped,
  };
}
