import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expectResticCheck, resticAvailable } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonError, makeLab, type Lab, type Outcome } from './launcher.ts';

// Many programs one after the other, on machines that may be busy.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const hasRestic = (await resticAvailable()) !== undefined;
let lab: Lab;
let source: string;
let repo: string[];

beforeAll(async () => {
  lab = await makeLab();
  source = lab.path('source');
  await mkdir(source);
  repo = await lab.makeRepository('repo');
  for (const day of ['01', '02', '03']) {
    await writeFile(join(source, `file-${day}`), randomBytes(200_000));
    await writeFile(join(source, 'changing'), randomBytes(300_000));
    await ok([
      'repo',
      'backup',
      ...repo,
      '--host',
      'h',
      '--tag',
      `d${day}`,
      '--time',
      `2026-01-${day} 10:00:00`,
      source,
    ]);
  }
});

afterAll(() => lab[Symbol.asyncDispose]());

async function ok(args: readonly string[]): Promise<Outcome> {
  const outcome = await lab.run(args);
  expect(outcome.stderr.replaceAll(/^(?!error).*\n/gm, '')).toBe('');
  expect(outcome.exitCode).toBe(0);
  return outcome;
}

async function refused(args: readonly string[], code: string): Promise<string> {
  const outcome = await lab.run([...args, '--json']);
  expect(outcome.exitCode).not.toBe(0);
  const error = jsonError(outcome);
  expect(error.code).toBe(code);
  return `${error.message} ${error.hint ?? ''}`;
}

async function packBytes(): Promise<number> {
  const folder = lab.path('repo', 'data');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function snapshotCount(): Promise<number> {
  return (JSON.parse((await ok(['repo', 'snapshots', ...repo, '--json'])).stdout) as unknown[]).length;
}

describe('varve repo forget and prune', () => {
  test('refuse what would remove more than was meant', async () => {
    expect(await refused(['repo', 'forget', ...repo], 'USAGE_INVALID')).toContain('--keep-daily');
    await refused(['repo', 'forget', ...repo, '--keep-tag', 'none'], 'USAGE_INVALID');
    await refused(['repo', 'forget', ...repo, '--unsafe-allow-remove-all'], 'USAGE_INVALID');
    await refused(['repo', 'forget', ...repo, 'latest', '0000000000'], 'SNAPSHOT_NOT_FOUND');
    await refused(['repo', 'forget', ...repo, '--keep-last', '1', '--no-lock'], 'USAGE_INVALID');
    await refused(['repo', 'prune', ...repo, '--no-lock'], 'USAGE_INVALID');
    expect(await refused(['repo', 'prune', ...repo, '--unsafe-recover-no-free-space', 'x'], 'USAGE_INVALID')).toMatch(
      /id [0-9a-f]{64}/,
    );
    for (const limit of ['101%', '5 %', '-1', '1X']) {
      expect((await lab.run(['repo', 'prune', ...repo, '--max-unused', limit])).exitCode).toBe(2);
    }
    expect((await lab.run(['repo', 'forget', ...repo, '--keep-last', '-1'])).exitCode).toBe(2);
    expect((await lab.run(['repo', 'forget', ...repo, '--keep-last', '1', '--group-by', 'age'])).exitCode).toBe(2);
    expect(await snapshotCount()).toBe(3);
  });

  test('show what they would do, in the shape of restic, and do it', async () => {
    const before = await packBytes();
    const policy = ['--keep-last', '1', '--max-unused', '0'];
    const dry = await ok(['repo', 'forget', ...repo, ...policy, '--dry-run', '--prune']);
    expect(dry.stdout).toMatch(/^keep 1 snapshot:$/m);
    expect(dry.stdout).toMatch(/^remove 2 snapshots:$/m);
    expect(dry.stdout).toMatch(/would have removed 2 snapshots/);
    expect(dry.stdout).toMatch(/^unused size after prune: 0 B/m);
    const dryJson = (await ok(['repo', 'forget', ...repo, ...policy, '--dry-run', '--json'])).stdout;
    const [group] = JSON.parse(dryJson) as { host: string; keep: unknown[]; remove: unknown[]; reasons: unknown[] }[];
    expect(group).toMatchObject({ tags: null, host: 'h', paths: [source], keep: [{ tags: ['d03'] }] });
    expect(group?.remove).toMatchObject([{ tags: ['d02'] }, { tags: ['d01'] }]);
    expect(group?.reasons).toMatchObject([{ snapshot: { tags: ['d03'] }, matches: ['last snapshot'] }]);
    expect(await snapshotCount()).toBe(3);
    expect(await packBytes()).toBe(before);

    const done = await ok(['repo', 'forget', ...repo, ...policy, '--prune']);
    expect(done.stdout).toMatch(/^removed 2 snapshots: /m);
    expect(done.stdout).toMatch(/^removed \d+ packs/m);
    expect(await snapshotCount()).toBe(1);
    // Three files of 200 KB and one of 300 KB are left; two of 300 KB are gone.
    expect(before - (await packBytes())).toBeGreaterThan(600_000);
    expect((await ok(['repo', 'check', '--read-data', ...repo])).stdout).toContain('no errors were found');
    await ok(['repo', 'restore', 'latest', '--target', lab.path('back'), '--verify', ...repo]);
    expect((await readdir(join(lab.path('back'), source))).toSorted()).toEqual(
      ['changing', 'file-01', 'file-02', 'file-03'].toSorted(),
    );
  });

  test('prune by themselves, with the plan and what was done as JSON', async () => {
    await ok(['repo', 'forget', 'latest', ...repo]);
    const plan = JSON.parse((await ok(['repo', 'prune', ...repo, '--dry-run', '--json'])).stdout) as {
      remove_packs: { id: string; size: number }[];
      size: { freed: number; packs_after: number };
    };
    expect(plan).toMatchObject({ message_type: 'summary', dry_run: true, snapshots: 0, blobs: { used: 0 } });
    expect(plan.remove_packs.length).toBeGreaterThan(0);
    const human = await ok(['repo', 'prune', ...repo, '--dry-run']);
    expect(human.stdout).toMatch(/^used: +0 blobs \/ 0 B$/m);
    const result = JSON.parse((await ok(['repo', 'prune', ...repo, '--json'])).stdout) as object;
    expect(result).toMatchObject({
      bytes_removed: plan.size.freed,
      packs_removed: plan.remove_packs.length,
      problems: [],
    });
    expect(await packBytes()).toBe(0);
    expect((await ok(['repo', 'prune', ...repo])).stdout).toContain('nothing to remove');
  });

  test('remove all of a host when that is said twice', async () => {
    await ok(['repo', 'backup', ...repo, '--host', 'other', source]);
    await ok(['repo', 'backup', ...repo, '--host', 'third', source]);
    await ok(['repo', 'forget', ...repo, '--host', 'other', '--unsafe-allow-remove-all']);
    const list = (await ok(['repo', 'snapshots', ...repo, '--json'])).stdout;
    expect(JSON.parse(list)).toMatchObject([{ hostname: 'third' }]);
    await rm(lab.path('back'), { recursive: true, force: true });
    await ok(['repo', 'prune', ...repo, '--unsafe-recover-no-free-space', await repositoryId()]);
    expect((await ok(['repo', 'check', '--read-data', ...repo])).stdout).toContain('no errors were found');
  });

  test.skipIf(!hasRestic)('leave what restic finds no fault with', async () => {
    await expectResticCheck({ repo: lab.path('repo'), password: 'correct horse' }, { readData: true });
  });
});

async function repositoryId(): Promise<string> {
  const message = await refused(['repo', 'prune', ...repo, '--unsafe-recover-no-free-space', 'x'], 'USAGE_INVALID');
  return /id ([0-9a-f]{64})/.exec(message)?.[1] ?? '';
}
