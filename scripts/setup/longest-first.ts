// The order in which test files start: those that are known to take long first, so that none of them is left to run alone at
// the end. The others follow in vitest's own order (what failed last, what took long last, what is large).

import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take over a minute among the others, the longest first. A name that is gone does no harm. */
const longFiles = [
  'demo/test/demo.test.ts',
  'app/test/docker-app.test.ts',
  'app/test/recovery.test.ts',
  'web/test/pages.browser.test.ts',
  'app/test/volume-base.test.ts',
  'app/test/wal-capture-history.test.ts',
  'cli/test/apps.test.ts',
  'cli/test/repository.test.ts',
  'app/test/host-database.test.ts',
  'postgres/test/base-backup.test.ts',
  'app/test/stream-base.test.ts',
  'cli/test/repository-edit.test.ts',
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const usual = await super.sort(files);
    return usual.toSorted((left, right) => placeOf(left) - placeOf(right));
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const place = longFiles.findIndex((name) => moduleId.endsWith(`/packages/${name}`));
  return place === -1 ? longFiles.length : place;
}
