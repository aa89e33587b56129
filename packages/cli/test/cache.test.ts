import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { jsonError, makeLab, type Lab } from './launcher.ts';

vi.setConfig({ testTimeout: 120_000 });

let lab: Lab;
let repo: string[];

beforeAll(async () => {
  lab = await makeLab();
  await mkdir(lab.path('source'));
  await writeFile(lab.path('source', 'file'), 'content');
  repo = await lab.makeRepository('repo');
});

afterAll(() => lab[Symbol.asyncDispose]());

interface CacheList {
  readonly folder: string;
  readonly caches: readonly { readonly id: string; readonly old: boolean; readonly size?: number }[];
}

async function listCaches(...args: string[]): Promise<CacheList> {
  const { stdout, exitCode } = await lab.run(['repo', 'cache', '--json', ...args]);
  expect(exitCode).toBe(0);
  return JSON.parse(stdout) as CacheList;
}

test('a command makes the cache of its repository, which `repo cache` lists and removes', async () => {
  expect(await listCaches()).toEqual({ folder: lab.path('.cache', 'varve'), caches: [] });
  await lab.run(['repo', 'snapshots', ...repo, '--no-cache']);
  expect((await listCaches()).caches).toEqual([]);

  await lab.run(['repo', 'backup', ...repo, lab.path('source')]);
  const { caches } = await listCaches();
  expect(caches).toMatchObject([{ id: expect.stringMatching(/^[0-9a-f]{64}$/), old: false, size: 0 }]);
  expect((await lab.run(['repo', 'cache'])).stdout).toMatch(
    /^Repository +Last used +Old +Size\n[0-9a-f]{10} +just now/,
  );
  expect((await lab.run(['repo', 'cache', '--cleanup'])).stdout).toMatch(/^no old caches in /);
  expect((await lab.run(['repo', 'cache', '--cleanup', '--max-age', '0'])).stdout).toMatch(/^removed 1 cache from /);
  expect((await listCaches()).caches).toEqual([]);
});

test('the folder of the caches is an option, then the environment; one that cannot be used is left out', async () => {
  await lab.run(['repo', 'snapshots', ...repo, '--cache-dir', lab.path('a')], { env: { VARVE_CACHE_DIR: 'b' } });
  await lab.run(['repo', 'snapshots', ...repo], { env: { VARVE_CACHE_DIR: 'b', RESTIC_CACHE_DIR: lab.path('c') } });
  await lab.run(['repo', 'snapshots', ...repo], { env: { RESTIC_CACHE_DIR: lab.path('c') } });
  for (const folder of ['a', 'b', join('c', 'varve')]) expect(await readdir(lab.path(folder))).toHaveLength(2);
  expect((await listCaches('--cache-dir', lab.path('a'), '--no-size')).caches[0]).not.toHaveProperty('size');

  const bad = await lab.run(['repo', 'snapshots', ...repo, '--verbose', '--cache-dir', lab.path('password', 'x')]);
  expect(bad).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('working without a cache') });
  const none = await lab.run(['repo', 'cache', '--json'], { env: { HOME: '' } });
  expect([none.exitCode === 0, jsonError(none).code]).toEqual([false, 'USAGE_INVALID']);
});
