// `npm test`: prepares what the tests need, runs them all (or those that the arguments name, as vitest takes them), stops
// what it started, and prints `N passed, N failed, N skipped` as its last line.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dockerLab, dockerLabVariables, type DockerLab } from '../packages/testing/src/docker-lab.ts';
import { fetchPostgresMajors } from '../packages/testing/src/postgres-majors.ts';
import { messageOf } from '../packages/base/src/index.ts';
import type { TestCounts } from './setup/counts-reporter.ts';
import { buildCli } from './build-cli.ts';
import { ensureSystemPackages } from './setup/system-packages.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

process.exitCode = await main(process.argv.slice(2));

async function main(parameters: readonly string[]): Promise<number> {
  const log = (line: string): void => console.log(`set-up: ${line}`);
  const startedAt = performance.now();
  ensureSystemPackages(log);
  const [missingMajors, preparedLab] = await Promise.all([
    fetchPostgresMajors(log).catch(messageOf),
    dockerLab({ log }),
  ]);
  await using lab = preparedLab;
  if (missingMajors !== undefined)
    log(`PostgreSQL 13, 14, 16, 18: ${missingMajors}; tests run with the majors that are here`);
  // Tests that spawn the launcher run what users run.
  if (await buildCli()) log('command line bundled');
  log(
    lab.available
      ? `Docker Engine at ${lab.host}, image ${lab.image}`
      : `no Docker: ${lab.reason}; its tests are skipped`,
  );
  log(`ready after ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  const folder = mkdtempSync(join(tmpdir(), 'varve-test-'));
  try {
    const countsPath = join(folder, 'counts.json');
    const exitCode = await runVitest(parameters, { ...labEnvironment(lab), VARVE_TEST_COUNTS: countsPath });
    return report(readCounts(countsPath), exitCode);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function labEnvironment(lab: DockerLab): Record<string, string> {
  return lab.available
    ? { [dockerLabVariables.host]: lab.host, [dockerLabVariables.image]: lab.image }
    : { [dockerLabVariables.skip]: lab.reason };
}

function runVitest(parameters: readonly string[], env: Record<string, string>): Promise<number> {
  const reporters = ['--reporter=default', '--reporter=./scripts/setup/counts-reporter.ts'];
  const child = spawn('vitest', ['run', ...reporters, ...parameters], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  return new Promise((resolve) => {
    // Ctrl-C reaches vitest too; we wait for it, then clean up.
    const ignore = (): void => {};
    process.on('SIGINT', ignore);
    child.once('error', (error) => {
      console.error(`vitest cannot be started: ${error.message}`);
      resolve(1);
    });
    child.once('close', (code) => {
      process.off('SIGINT', ignore);
      resolve(code ?? 1);
    });
  });
}

/** Undefined when vitest ended before it could report. */
function readCounts(path: string): TestCounts | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as TestCounts;
  } catch {
    return undefined;
  }
}

/** Prints skipped tests, grouped by reason, and the counts; the exit code. */
function report(counts: TestCounts | undefined, exitCode: number): number {
  const { passed = 0, skipped = [] } = counts ?? {};
  // A run that broke without a failed test (no such file, a crash) is not a success.
  const failed = Math.max(counts?.failed ?? 0, exitCode === 0 ? 0 : 1);
  if (skipped.length > 0) console.log('\nSkipped:');
  for (const { name, reason } of skipped) console.log(`  ${name}${reason ? ` [skipped: ${reason}]` : ''}`);
  process.once('exit', () => console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`));
  return failed === 0 ? 0 : 1;
}
