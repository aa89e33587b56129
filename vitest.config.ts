// Tests of all rooms. `npm test` prepares what they need (Docker, restic, PostgreSQL) and prints the counts; a single file
// runs with `npx vitest run packages/<room>/test/<file>`.

import { defineConfig } from 'vitest/config';
import { LongestFirst } from './scripts/setup/longest-first.ts';

export default defineConfig({
  test: {
    include: ['packages/*/test/**/*.test.{ts,tsx}', 'scripts/test/**/*.test.ts'],
    // Processes, not threads: tests change uid, spawn servers and start worker threads of their own.
    pool: 'forks',
    // More than processors: tests mostly wait for containers, servers and browsers.
    maxWorkers: 5,
    sequence: { sequencer: LongestFirst },
    testTimeout: 120_000,
    hookTimeout: 180_000,
    teardownTimeout: 30_000,
    // Containers and servers take their time on a busy machine; the default of 1 s is for the DOM.
    expect: { poll: { timeout: 20_000 } },
  },
});
