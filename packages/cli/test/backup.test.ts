// `varve repo backup` as users call it.

import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { resticAvailable } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonError, makeLab, type Lab, type Outcome } from './launcher.ts';

// Many programs one after the other, on machines that may be busy.
vi.setConfig({ testTimeout: 300_000 });

let lab: Lab;
let source: string;
let repo: string[];

beforeAll(async () => {
  lab = await makeLab();
  source = lab.path('source');
  await mkdir(join(source, 'sub'), { recursive: true });
  await mkdir(join(source, 'cache'));
  await writeFile(join(source, 'a.TXT'), 'alpha\n');
  await writeFile(join(source, 'sub/b.log'), 'beta\n');
  await writeFile(join(source, 'sub/large.bin'), Buffer.alloc(3000, 'varve'));
  await writeFile(join(source, 'cache/CACHEDIR.TAG'), 'Signature: 8a477f597d28d172789f06886806bc55\n');
  await writeFile(join(source, 'cache/cached'), 'cached');
  repo = await lab.makeRepository('repo');
});

afterAll(() => lab[Symbol.asyncDispose]());

function backup(args: readonly string[], options?: Parameters<Lab['run']>[1]): Promise<Outcome> {
  return lab.run(['repo', 'backup', ...repo, ...args], options);
}

async function names(host: string): Promise<string[]> {
  const { stdout } = await lab.run(['repo', 'ls', 'latest', '--host', host, '--recursive', '--quiet', ...repo]);
  return stdout
    .split('\n')
    .filter((path) => path.startsWith(source) && path !== source)
    .map((path) => path.slice(source.length + 1));
}

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Of whole packs. */
async function storedBytes(): Promise<number> {
  const names = await readdir(lab.path('repo/data'), { recursive: true });
  const packs = names.filter((name) => /^..\/[0-9a-f]{64}$/.test(name));
  const sizes = await Promise.all(packs.map(async (name) => (await stat(lab.path('repo/data', name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function snapshotCount(): Promise<number> {
  return (await readdir(lab.path('repo/snapshots'))).length;
}

describe('varve repo backup', () => {
  test('leaves out by case, marks, size and patterns in files', async () => {
    await writeFile(lab.path('patterns'), '# comment\n\n$WHERE/sub/*.log\n');
    const exclude = ['--exclude-caches', '--exclude-larger-than', '2k', '--iexclude', '*.txt'];
    const made = await backup([...exclude, '--exclude-file', lab.path('patterns'), '--host', 'less', source], {
      env: { WHERE: source },
    });
    expect(made).toMatchObject({ exitCode: 0 });
    expect(await names('less')).toEqual(['cache', 'cache/CACHEDIR.TAG', 'sub']);
    const marked = await backup(['--exclude-if-present', 'b.log:beta', '-x', '--host', 'mark', source, '--with-atime']);
    expect(marked).toMatchObject({ exitCode: 0 });
    expect(await names('mark')).toEqual(['a.TXT', 'cache', 'cache/CACHEDIR.TAG', 'cache/cached', 'sub', 'sub/b.log']);
    const wrong = await backup(['--exclude', '[', source]);
    expect(wrong).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('The pattern "["') });
  });

  test('takes its paths from lists, and says what is missing', async () => {
    await writeFile(lab.path('globs'), `  source/s*/*.log \n#no\n${source}/none*\n`);
    await writeFile(lab.path('verbatim'), `${source}/a.TXT\n`);
    const raw = `${source}/cache/cached\0`;
    const lists = ['--files-from', lab.path('globs'), '--files-from-verbatim', lab.path('verbatim')];
    const made = await backup([...lists, '--files-from-raw', '-', '--host', 'lists'], { input: raw });
    expect(made).toMatchObject({ exitCode: 0 });
    expect(made.stderr).toContain(`no file matches the pattern ${source}/none*`);
    expect(await names('lists')).toEqual(['a.TXT', 'cache', 'cache/cached']);
    const { stdout } = await lab.run(['repo', 'ls', 'latest', '--host', 'lists', '--recursive', '--quiet', ...repo]);
    expect(stdout).toContain('/source/sub/b.log');
    const partial = await backup([join(source, 'sub'), lab.path('gone'), '--host', 'gone', '--json']);
    expect(partial.exitCode).toBe(3);
    expect(jsonLines(partial.stderr)).toEqual([
      expect.objectContaining({ message_type: 'error', during: 'archival', item: lab.path('gone') }),
    ]);
    const bad = await backup(['--files-from-raw', '-'], { input: 'no end' });
    expect(bad).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('NUL') });
  });

  test('tells with --dry-run what it would do, and stores nothing', async () => {
    const before = await snapshotCount();
    const packs = spawnSync('find', [lab.path('repo'), '-type', 'f'], { encoding: 'utf8' }).stdout;
    await writeFile(join(source, 'fresh'), 'never stored');
    const dry = await backup(['--dry-run', '--json', '-v', '--host', 'dry', source]);
    expect(dry.exitCode).toBe(0);
    const lines = jsonLines(dry.stdout);
    expect(lines).toContainEqual(
      expect.objectContaining({
        message_type: 'verbose_status',
        action: 'new',
        item: join(source, 'fresh'),
        data_size: 12,
        data_size_in_repo: expect.any(Number),
      }),
    );
    expect(lines).toContainEqual(
      expect.objectContaining({ action: 'new', item: `${source}/sub/`, metadata_size: expect.any(Number) }),
    );
    const summary = lines.at(-1) ?? {};
    expect(summary).toMatchObject({ message_type: 'summary', dry_run: true, files_new: 6 });
    expect(Number(summary['data_added_packed'])).toBeGreaterThan(0);
    expect(summary).not.toHaveProperty('snapshot_id');
    const text = await backup(['-n', '-v', source]);
    expect(text.stdout).toMatch(/^new {7}.*\/fresh, saved in/m);
    expect(text.stdout).toContain('Would be added');
    expect(await snapshotCount()).toBe(before);
    expect(spawnSync('find', [lab.path('repo'), '-type', 'f'], { encoding: 'utf8' }).stdout).toBe(packs);
  });

  test('compares with a parent as told, and skips what would be the same', async () => {
    await writeFile(join(source, 'fresh'), 'never stored');
    // Relative: above an absolute path lie folders that other programs change.
    const first = await backup(['--host', 'one', '--tag', 'x', 'source']);
    expect(first.stdout).toMatch(/Files: 6 new/);
    const skipped = await backup(['--host', 'one', '--skip-if-unchanged', 'source']);
    expect(skipped).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('no snapshot was made') });
    expect((await backup(['--host', 'two', source])).stdout).toMatch(/Files: 6 new/);
    const grouped = [
      '--group-by',
      'paths',
      '--pack-size',
      '8',
      '--compression',
      'fastest',
      '--read-concurrency',
      '1',
      '--extra-verify',
    ];
    expect((await backup(['--host', 'three', ...grouped, source])).stdout).toMatch(/Files: 0 new, 0 changed, 6 unmod/);
    await truncate(join(source, 'fresh'), 0);
    await appendFile(join(source, 'fresh'), 'never stored');
    const vv = await backup(['--host', 'three', '-vv', '--no-scan', '--ignore-ctime', '--ignore-inode', source]);
    expect(vv.stdout).toMatch(/^modified {2}.*\/fresh, saved in/m);
    expect(vv.stdout).toMatch(/^unchanged .*\/a\.TXT$/m);
    expect(await backup(['--group-by', 'moon', source])).toMatchObject({ exitCode: 2 });
    expect(await backup(['--pack-size', '1', source])).toMatchObject({ exitCode: 2 });
    expect(await backup([source], { env: { RESTIC_COMPRESSION: 'extreme' } })).toMatchObject({ exitCode: 2 });
  });

  test('saves the output of a program only when it succeeds', async () => {
    const before = await snapshotCount();
    const args = ['--stdin-from-command', '--stdin-filename', 'all.sql', '--host', 'cmd', '--', 'sh', '-c'];
    const failed = await backup(['--json', ...args, 'echo half; echo sorry >&2; exit 4']);
    expect(failed.exitCode).toBe(1);
    expect(failed.stderr).toContain('sorry');
    expect(failed.stderr).toContain('exit code 4');
    expect(await backup([...args.slice(0, -2), 'no-such-program'])).toMatchObject({ exitCode: 1 });
    expect(await snapshotCount()).toBe(before);
    expect(await backup([...args, 'echo whole'])).toMatchObject({ exitCode: 0 });
    await lab.run(['repo', 'restore', 'latest', '--host', 'cmd', '--target', lab.path('cmd'), ...repo]);
    expect(await readFile(lab.path('cmd/all.sql'), 'utf8')).toBe('whole\n');
    expect(jsonError(await backup(['--stdin-from-command', '--json']))).toMatchObject({ code: 'USAGE_INVALID' });
  });

  test('keeps what it stored for the next run when it is interrupted', async () => {
    const before = await readdir(lab.path('repo/index'));
    const snapshots = await snapshotCount();
    const data = Buffer.alloc(30_000_000);
    for (let at = 0; at < data.length; at += 65_536) randomFillSync(data, at, Math.min(65_536, data.length - at));
    const running = lab.start(['repo', 'backup', ...repo, '--pack-size', '4', '--stdin', '--host', 'ctrl-c']);
    running.child.stdin?.write(data);
    // Standard input stays open: the program waits for more.
    await vi.waitFor(async () => expect(await storedBytes()).toBeGreaterThan(8_000_000), { timeout: 120_000 });
    running.child.kill('SIGINT');
    expect(await running.outcome).toMatchObject({ exitCode: 130 });
    expect(await snapshotCount()).toBe(snapshots);
    expect((await readdir(lab.path('repo/index'))).length).toBeGreaterThan(before.length);
    const args = ['--json', '--pack-size', '4', '--stdin-from-command', '--host', 'ctrl-c', '--', 'cat'];
    await writeFile(lab.path('data'), data);
    const again = jsonLines((await backup([...args, lab.path('data')])).stdout).at(-1);
    expect(Number(again?.['data_added'])).toBeLessThan(data.length - 7_000_000);
  });

  test('leaves a repository in which restic finds no fault', async (context) => {
    if ((await resticAvailable()) === undefined) context.skip('restic is not installed');
    const env = { ...process.env, RESTIC_PASSWORD: 'correct horse' };
    const check = spawnSync('restic', ['-r', lab.path('repo'), '--no-cache', 'check', '--read-data'], { env });
    expect(check.status).toBe(0);
    expect(await readdir(lab.path('repo/locks'))).toEqual([]);
  });
});
