import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { resticAvailable, runRestic } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonError, makeLab, type Lab, type Outcome } from './launcher.ts';

// Many programs one after the other, on machines that may be busy.
vi.setConfig({ testTimeout: 300_000 });

let lab: Lab;
let repo: string[];

beforeAll(async () => {
  lab = await makeLab();
});

afterAll(() => lab[Symbol.asyncDispose]());

async function ok(args: readonly string[]): Promise<Outcome> {
  const outcome = await lab.run(args);
  expect(outcome.stderr.replaceAll(/^(?!error).*\n/gm, '')).toBe('');
  expect(outcome.exitCode).toBe(0);
  return outcome;
}

async function json(args: readonly string[]): Promise<Record<string, never>> {
  return JSON.parse((await lab.run([...args, '--json'])).stdout.trim().split('\n').at(-1) ?? '') as Record<
    string,
    never
  >;
}

/** A new repository with one snapshot of two files. */
async function makeRepository(name: string): Promise<string> {
  const source = lab.path('source');
  await mkdir(join(source, 'sub'), { recursive: true });
  await writeFile(join(source, 'first.bin'), Buffer.alloc(300_000, 'one'));
  await writeFile(join(source, 'sub', 'second.txt'), 'two\n');
  repo = await lab.makeRepository(name);
  await ok(['repo', 'backup', ...repo, source]);
  return source;
}

async function packs(name: string): Promise<string[]> {
  const files = await readdir(lab.path(name, 'data'), { recursive: true });
  return files.map((file) => file.split('/').at(-1) ?? '').filter((file) => file.length === 64);
}

async function expectResticContent(name: string): Promise<void> {
  if (!(await resticAvailable())) return;
  const { stdout } = await runRestic({ repo: lab.path(name), password: 'correct horse' }, ['check', '--read-data']);
  expect(stdout).toContain('no errors were found');
}

describe('varve repo repair', () => {
  test('finds what a lost pack did, and mends index and snapshots step by step', async () => {
    const source = await makeRepository('lost');
    const { suggest_repair_index: isWhole } = await json(['repo', 'check', ...repo]);
    expect(isWhole).toBe(false);
    // Data packs are removed, tree packs stay.
    for (const id of await packs('lost')) {
      const listed = await readFile(lab.path('lost', 'data', id.slice(0, 2), id));
      if (listed.length < 1500) await rm(lab.path('lost', 'data', id.slice(0, 2), id));
    }
    const check = await lab.run(['repo', 'check', ...repo]);
    expect(check.exitCode).toBe(6);
    expect(check.stdout).toMatch(/varve repo repair index\n/);
    expect(await json(['repo', 'check', ...repo])).toMatchObject({ suggest_repair_index: true, num_errors: 1 });

    const dry = await ok(['repo', 'repair', 'index', '--dry-run', ...repo]);
    expect(dry.stdout).toMatch(/^pack [0-9a-f]{64}: missing, leaves the index$/m);
    expect(dry.stdout).toMatch(/^would replace \d index file/m);
    expect((await lab.run(['repo', 'repair', 'snapshots', ...repo])).exitCode).toBe(6);
    expect((await ok(['repo', 'repair', 'index', ...repo])).stdout).toMatch(/^wrote \d index file.*, removed \d$/m);
    expect((await ok(['repo', 'repair', 'index', '--read-all-packs', ...repo])).stdout).toMatch(/is as it should be$/m);

    const { plan } = await json(['repo', 'repair', 'snapshots', '--dry-run', ...repo]);
    expect(plan).toMatchObject({ examined: 1, snapshots: [{ action: 'rewrite', remove: false }] });
    const mended = await ok(['repo', 'repair', 'snapshots', '--forget', ...repo]);
    expect(mended.stdout).toMatch(/^lost: \d files? (or folder|and folders) of 1 snapshot$/m);
    expect(mended.stdout).toContain(source);
    expect(mended.stdout).toMatch(/^snapshot [0-9a-f]{8}: .* saved as [0-9a-f]{8}; removed$/m);
    expect(mended.stdout).toMatch(/^modified 1 snapshot of 1$/m);
    expect((await ok(['repo', 'check', '--read-data', ...repo])).stdout).toContain('no errors were found');
    await expectResticContent('lost');
  });

  test('salvages a damaged pack and keeps a copy of it', async () => {
    const source = await makeRepository('damaged');
    for (const id of await packs('damaged')) {
      const path = lab.path('damaged', 'data', id.slice(0, 2), id);
      const bytes = await readFile(path);
      bytes[bytes.length - 1]! ^= 1;
      await chmod(path, 0o600);
      await writeFile(path, bytes);
    }
    const check = await lab.run(['repo', 'check', '--read-data', ...repo]);
    expect(check.exitCode).toBe(6);
    const advice = /varve (repo repair packs [0-9a-f ]+)/.exec(check.stdout)?.[1]?.trim().split(' ') ?? [];
    expect(advice.slice(3).sort()).toEqual((await packs('damaged')).sort());
    expect((await ok([...advice, '--dry-run', ...repo])).stdout).toMatch(/^would save \d blobs/m);
    const copies = lab.path('copies');
    await mkdir(copies);
    const mended = await ok([...advice, '--backup-dir', copies, ...repo]);
    expect(mended.stdout).toMatch(/^pack [0-9a-f]{64}: \d blobs?: \d good, 0 good elsewhere, 0 lost$/m);
    expect(mended.stdout).toMatch(/^saved \d blobs .*, removed \d damaged packs$/m);
    expect((await readdir(copies)).map((name) => name.slice(5)).sort()).toEqual(advice.slice(3).sort());
    await ok(['repo', 'restore', 'latest', '--target', lab.path('back'), ...repo]);
    expect(await readFile(join(lab.path('back'), source, 'sub', 'second.txt'), 'utf8')).toBe('two\n');
    await expectResticContent('damaged');
    expect(await lab.run(['repo', 'repair', 'packs', 'abc', ...repo])).toMatchObject({ exitCode: 2 });
    expect(await lab.run(['repo', 'repair', 'packs', ...repo])).toMatchObject({ exitCode: 2 });
  });

  test('needs the repository for itself, unless it only looks', async () => {
    await makeRepository('locked');
    const refused = await lab.run(['repo', 'repair', 'index', '--no-lock', ...repo, '--json']);
    expect(refused.exitCode).toBe(2);
    expect(jsonError(refused)).toMatchObject({ code: 'USAGE_INVALID' });
    await ok(['repo', 'repair', 'index', '--no-lock', '--dry-run', ...repo]);
    expect(await readdir(lab.path('locked', 'locks'))).toEqual([]);
  });
});

describe('varve repo recover', () => {
  test('gives back a snapshot that was removed by accident', async () => {
    const source = await makeRepository('forgotten');
    const [id] = await readdir(lab.path('forgotten', 'snapshots'));
    await rm(lab.path('forgotten', 'snapshots', id!));
    expect((await ok(['repo', 'recover', '--dry-run', ...repo])).stdout).toMatch(/would save a snapshot of them$/m);
    expect((await ok(['repo', 'recover', ...repo])).stdout).toMatch(/^saved new snapshot [0-9a-f]{8}$/m);
    const listed = await ok(['repo', 'ls', 'latest', '--tag', 'recovered', ...repo]);
    expect(listed.stdout).toContain(join(source, 'sub', 'second.txt'));
    expect((await ok(['repo', 'recover', ...repo])).stdout).toContain('no snapshot to write');
    await expectResticContent('forgotten');
  });
});

describe('varve repo check', () => {
  test('reads the part of the data that is asked for, and refuses what is none', async () => {
    await makeRepository('part');
    const whole = await json(['repo', 'check', '--read-data', ...repo]);
    expect(await json(['repo', 'check', '--read-data-subset', '100%', ...repo])).toMatchObject({
      bytesRead: whole['bytesRead'],
      message_type: 'summary',
      num_errors: 0,
      broken_packs: [],
      affected: [],
    });
    const parts = await Promise.all(
      ['1/2', '2/2'].map((part) =>
        json(['repo', 'check', '--with-cache', '--no-lock', '--read-data-subset', part, ...repo]),
      ),
    );
    expect(Number(parts[0]!['bytesRead']) + Number(parts[1]!['bytesRead'])).toBe(whole['bytesRead']);
    for (const args of [
      ['--read-data-subset', '3/2'],
      ['--read-data', '--read-data-subset', '1/2'],
    ])
      expect(await lab.run(['repo', 'check', ...args, ...repo])).toMatchObject({ exitCode: 2 });
  });
});
