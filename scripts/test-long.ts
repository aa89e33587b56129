// `npm run test:long -- [files]`: the tests in their long forms: every fault, hundreds of kills, every PostgreSQL major, twenty targets each.
// Takes hours. A variable that is set already stays as it is.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const longForms: Readonly<Record<string, string>> = {
  VARVE_LONG_TESTS: '1',
  VARVE_FAULTS: 'all',
  VARVE_KILLS: '50',
  VARVE_SEQUENCES: '50',
  VARVE_ROUNDS: '50',
  VARVE_TEST_KILLS: '200',
  VARVE_TEST_SERVER_KILLS: '50',
  VARVE_TEST_DISASTERS: '10',
  VARVE_TEST_CUTS: '100',
  VARVE_TEST_AWAY: '600',
  VARVE_TEST_TARGETS: '20',
  VARVE_TEST_CHAIN: '20',
};

const tests = fileURLToPath(new URL('test.ts', import.meta.url));
const { status } = spawnSync(process.execPath, [tests, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...longForms, ...process.env },
});
process.exitCode = status ?? 1;
