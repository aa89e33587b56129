// A host app (folders, git checkouts) from snapshot to restore, with owners, modes, times and attributes compared.

import { execa } from 'execa';
import {
  appendFile,
  chmod,
  chown,
  link,
  mkdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import type { CodeComponent, VolumeComponent } from '@varve/contract';
import { findNode } from '@varve/repository';
import { expectResticCheck, resticAvailable, runRestic } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { planRestore } from '../src/restore/plan-restore.ts';
import { runRestore } from '../src/restore/run-restore.ts';
import { describeSnapshot, readManifest } from '../src/snapshot/describe-snapshot.ts';
import { takeSnapshot } from '../src/snapshot/take-snapshot.ts';
import { describeTree, setAttribute } from './file-tree.ts';
import { runFixture } from './run-fixture.ts';

const isRoot = process.getuid?.() === 0;

const folderComponent = (path: string, name = 'files'): VolumeComponent => ({
  kind: 'volume',
  name,
  source: { type: 'folder', path },
  excludes: [],
});
const codeComponent = (path: string, name = 'code'): CodeComponent => ({ kind: 'code', name, path });

/** A folder with what usually gets lost. */
async function makeFiles(path: string): Promise<void> {
  await mkdir(join(path, 'documents/private'), { recursive: true });
  for (let number = 1; number <= 20; number++)
    await writeFile(join(path, `documents/invoice-${number}.txt`), `invoice ${number}\n`.repeat(number * 50));
  await writeFile(join(path, 'documents/leer ñ "quoted" \n name.bin'), Buffer.alloc(3_000_000, 7));
  await link(join(path, 'documents/invoice-1.txt'), join(path, 'documents/same-inode.txt'));
  await symlink('invoice-2.txt', join(path, 'documents/latest'));
  await chmod(join(path, 'documents/private'), 0o700);
  await chmod(join(path, 'documents/invoice-3.txt'), 0o640);
  await utimes(join(path, 'documents/invoice-4.txt'), 1_600_000_000.123, 1_600_000_000.456);
  await setAttribute(join(path, 'documents/invoice-5.txt'), 'user.varve', 'kept');
  if (isRoot) {
    await chown(join(path, 'documents'), 1234, 1235);
    await chown(join(path, 'documents/invoice-6.txt'), 4321, 4322);
  }
}

async function git(path: string, ...parameters: readonly string[]): Promise<string> {
  const { stdout } = await execa(
    'git',
    [
      '-c',
      'user.name=T',
      '-c',
      'user.email=t@example.org',
      '-c',
      'commit.gpgsign=false',
      '-c',
      `safe.directory=${path}`,
      ...parameters,
    ],
    { cwd: path },
  );
  return stdout;
}

/** A checkout with history, a tag, a branch, a stash, staged, unstaged, untracked and ignored changes. */
async function makeCheckout(path: string): Promise<void> {
  await mkdir(join(path, 'src'), { recursive: true });
  await git(path, 'init', '-q', '-b', 'main');
  await writeFile(join(path, '.gitignore'), 'ignored/\n');
  await writeFile(join(path, 'src/app.py'), 'print(1)\n');
  await writeFile(join(path, 'src/other.py'), 'other\n');
  await git(path, 'add', '.');
  await git(path, 'commit', '-qm', 'first');
  await git(path, 'tag', 'v1');
  await git(path, 'branch', 'feature');
  await writeFile(join(path, 'src/app.py'), 'print(2)\n');
  await git(path, 'commit', '-qam', 'second');
  await writeFile(join(path, 'src/other.py'), 'stashed\n');
  await git(path, 'stash', '-q');
  await git(path, 'remote', 'add', 'origin', 'https://user:s3cret-token@example.org/shop.git?private_token=abc');
  await writeFile(join(path, 'src/app.py'), 'print(3)  # staged\n');
  await git(path, 'add', 'src/app.py');
  await writeFile(join(path, 'src/app.py'), 'print(4)  # not staged\n');
  await writeFile(join(path, 'new.txt'), 'untracked\n');
  await mkdir(join(path, 'ignored'));
  await writeFile(join(path, 'ignored/data.bin'), Buffer.alloc(100_000, 1));
  await chmod(join(path, 'src/other.py'), 0o600);
}

describe('a folder', () => {
  test('comes back with content, owners, modes, times, links and attributes after damage', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    await makeFiles(path);
    const before = await describeTree(path, { folderTimes: true });
    const app = fixture.app([folderComponent(path)]);
    const taken = await fixture.snapshot(app);
    expect(taken.problems).toEqual([]);
    expect(taken.snapshot).toMatchObject({ appId: 'shop', kind: 'manual', partial: false, commit: null });
    expect(taken.snapshot.bytes).toBeGreaterThan(3_000_000);

    await rm(join(path, 'documents/invoice-7.txt'));
    await setAttribute(join(path, 'documents/invoice-5.txt'), 'user.varve', 'changed');
    await writeFile(join(path, 'documents/invoice-8.txt'), 'damaged');
    await writeFile(join(path, 'documents/intruder.txt'), 'not there before');
    await mkdir(join(path, 'extra/deep'), { recursive: true });
    await chmod(join(path, 'documents/private'), 0o777);

    const restored = await fixture.restore(app, taken);
    expect(restored.problems).toEqual([]);
    expect(await describeTree(path, { folderTimes: true })).toEqual(before);
  });

  test('that is gone altogether is made anew', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'data/files');
    await makeFiles(path);
    const before = await describeTree(path);
    const app = fixture.app([folderComponent(path)]);
    const taken = await fixture.snapshot(app);
    await rm(path, { recursive: true });
    const plan = await planRestore(fixture.context(), {
      app,
      snapshotId: taken.snapshot.id,
      manifest: taken.manifest,
      safetySnapshot: true,
    });
    expect(plan.steps).toMatchObject([{ type: 'safety-snapshot' }, { type: 'restore-volume', recreate: true }]);
    const restored = await fixture.restore(app, taken, { safetySnapshot: true });
    expect(restored.safetySnapshotId).not.toBeNull();
    expect(await describeTree(path)).toEqual(before);
  });

  test('is read by restic as well: check and restore agree', async () => {
    if ((await resticAvailable()) === undefined) return;
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    await makeFiles(path);
    await fixture.snapshot(fixture.app([folderComponent(path)]));
    await expectResticCheck(fixture, { readData: true });
    const target = join(fixture.folder, 'by-restic');
    await runRestic(fixture, ['restore', 'latest', '--target', target]);
    const options = { folderTimes: true };
    expect(await describeTree(join(target, 'volumes/files'), options)).toEqual(await describeTree(path, options));
  });

  test('that vanished fails the snapshot and leaves no snapshot file', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    const other = join(fixture.folder, 'other');
    await makeFiles(path);
    await makeFiles(other);
    const app = fixture.app([folderComponent(other, 'other'), folderComponent(path)]);
    await rm(path, { recursive: true });
    await expect(fixture.snapshot(app)).rejects.toMatchObject({
      code: 'ARCHIVE_SOURCE_MISSING',
      message: expect.stringContaining('volume "files"'),
    });
    expect(await fixture.snapshotCount()).toBe(0);
    // The lock is gone as well: another snapshot works at once.
    await makeFiles(path);
    await fixture.snapshot(app);
    expect(await fixture.snapshotCount()).toBe(1);
  });

  test('keeps the folders of other components out of its snapshot and out of its restore', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    const checkout = join(path, 'project');
    await mkdir(checkout, { recursive: true });
    await makeCheckout(checkout);
    await writeFile(join(path, 'note.txt'), 'one');
    const app = fixture.app([folderComponent(path), codeComponent(checkout)]);
    const taken = await fixture.snapshot(app);
    await writeFile(join(checkout, 'later.txt'), 'made after the snapshot');
    await writeFile(join(path, 'note.txt'), 'two');
    await fixture.restore(app, taken, { components: ['files'] });
    expect(await readFile(join(path, 'note.txt'), 'utf8')).toBe('one');
    expect(await readFile(join(checkout, 'later.txt'), 'utf8')).toBe('made after the snapshot');
  });
});

describe('a git checkout', () => {
  test('comes back with commit, index, changes, untracked and ignored files; newer commits stay reachable', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'code');
    await makeCheckout(path);
    if (isRoot) await execa('chown', ['-R', '1234:1235', path]);
    const status = await git(path, 'status', '--porcelain=v1');
    const staged = await git(path, 'diff', '--cached');
    const commit = await git(path, 'rev-parse', 'HEAD');
    const before = await describeTree(path, { without: ['.git'] });
    const app = fixture.app([codeComponent(path)]);
    const taken = await fixture.snapshot(app);
    expect(taken.manifest.components).toMatchObject([
      { kind: 'code', commit, branch: 'main', dirty: true, remotes: { origin: 'https://example.org/shop.git' } },
    ]);
    expect(JSON.stringify(taken.manifest)).not.toContain('s3cret');
    expect(taken.snapshot.commit).toBe(commit);

    await git(path, 'stash', 'drop', '-q');
    await git(path, 'checkout', '-qf', '-b', 'broken');
    await writeFile(join(path, 'src/app.py'), 'raise SystemExit\n');
    await git(path, 'commit', '-qam', 'bad commit');
    const bad = await git(path, 'rev-parse', 'HEAD');
    await git(path, 'branch', '-f', 'main', 'broken');
    await rm(join(path, 'ignored'), { recursive: true });
    await writeFile(join(path, 'src/uncommitted.py'), 'x');
    await appendFile(join(path, 'src/other.py'), 'uncommitted\n');
    if (isRoot) await execa('chown', ['-R', '1234:1235', path]);

    const restored = await fixture.restore(app, taken);
    expect(restored.problems).toEqual([]);
    expect(await git(path, 'rev-parse', 'HEAD')).toBe(commit);
    expect(await git(path, 'symbolic-ref', '--short', 'HEAD')).toBe('main');
    expect(await git(path, 'status', '--porcelain=v1')).toBe(status);
    expect(await git(path, 'diff', '--cached')).toBe(staged);
    expect(await describeTree(path, { without: ['.git'] })).toEqual(before);
    expect(await git(path, 'stash', 'list')).toContain('stash@{0}');
    expect(await git(path, 'show', 'stash@{0}:src/other.py')).toBe('stashed');
    const kept = await git(path, 'for-each-ref', '--format=%(objectname) %(refname)', 'refs/varve/before-restore');
    expect(kept).toContain(`${bad} refs/varve/before-restore/`);
    expect(kept).toMatch(/\/uncommitted$/m);
    expect(await git(path, 'rev-parse', 'broken')).toBe(bad);
    await git(path, 'fsck', '--full');
    if (isRoot) {
      const { stdout } = await execa('find', [join(path, '.git'), '-not', '-user', '1234']);
      expect(stdout).toBe('');
    }
  });

  test('whose folder is gone is made anew with its history, branches, tags, stash and remotes', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'code');
    await makeCheckout(path);
    const before = await describeTree(path, { without: ['.git'] });
    const [log, status, references] = await Promise.all([
      git(path, 'log', '--format=%H'),
      git(path, 'status', '--porcelain=v1'),
      git(path, 'for-each-ref'),
    ]);
    const app = fixture.app([codeComponent(path)]);
    const taken = await fixture.snapshot(app);
    await rm(path, { recursive: true });
    await fixture.restore(app, taken);
    expect(await describeTree(path, { without: ['.git'] })).toEqual(before);
    expect(await git(path, 'log', '--format=%H')).toBe(log);
    expect(await git(path, 'status', '--porcelain=v1')).toBe(status);
    expect(await git(path, 'for-each-ref')).toBe(references);
    expect(await git(path, 'remote', 'get-url', 'origin')).toContain('s3cret-token');
    await git(path, 'fsck', '--full');
  });

  test('without a commit, with a detached HEAD, and as a shallow clone is saved and put back', async () => {
    await using fixture = await runFixture();
    const full = join(fixture.folder, 'full');
    await makeCheckout(full);
    const empty = join(fixture.folder, 'empty');
    await mkdir(empty);
    await git(empty, 'init', '-q', '-b', 'trunk');
    await writeFile(join(empty, 'draft.txt'), 'draft');
    await git(empty, 'add', 'draft.txt');
    const detached = join(fixture.folder, 'detached');
    await git(fixture.folder, 'clone', '-q', full, detached);
    await git(detached, 'checkout', '-q', 'v1');
    const shallow = join(fixture.folder, 'shallow');
    await git(fixture.folder, 'clone', '-q', '--depth', '1', `file://${full}`, shallow);
    const paths = { empty, detached, shallow };
    const app = fixture.app(Object.entries(paths).map(([name, path]) => codeComponent(path, name)));
    const stateOf = async (path: string) => ({
      status: await git(path, 'status', '--porcelain=v1', '--branch'),
      tree: await describeTree(path, { without: ['.git'] }),
      head: await readFile(join(path, '.git/HEAD'), 'utf8'),
    });
    const before = { empty: await stateOf(empty), detached: await stateOf(detached), shallow: await stateOf(shallow) };
    const taken = await fixture.snapshot(app);
    for (const path of Object.values(paths)) await rm(path, { recursive: true });
    const { problems } = await fixture.restore(app, taken);
    expect(problems).toEqual([]);
    expect({ empty: await stateOf(empty), detached: await stateOf(detached), shallow: await stateOf(shallow) }).toEqual(
      before,
    );
    expect(await git(shallow, 'log', '--format=%s')).toBe('second');
  });

  test('in which hooks and file system monitors are configured runs none of them', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'code');
    await makeCheckout(path);
    const mark = join(fixture.folder, 'ran');
    const script = join(fixture.folder, 'script.sh');
    await writeFile(script, `#!/bin/sh\necho "$0" >> ${mark}\n`, { mode: 0o755 });
    for (const hook of ['post-checkout', 'reference-transaction', 'post-index-change', 'pre-commit']) {
      await writeFile(join(path, '.git/hooks', hook), `#!/bin/sh\necho ${hook} >> ${mark}\n`, { mode: 0o755 });
    }
    await git(path, 'config', 'core.fsmonitor', script);
    await git(path, 'config', 'diff.external', script);
    const app = fixture.app([codeComponent(path)]);
    await rm(mark, { force: true });
    const taken = await fixture.snapshot(app);
    await fixture.restore(app, taken);
    await expect(readFile(mark, 'utf8')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a restore', () => {
  test('with an outdated plan is refused and changes nothing', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    await makeFiles(path);
    const app = fixture.app([folderComponent(path), codeComponent(join(fixture.folder, 'code'))]);
    await makeCheckout(join(fixture.folder, 'code'));
    const taken = await fixture.snapshot(app);
    const input = { app, snapshotId: taken.snapshot.id, manifest: taken.manifest, safetySnapshot: false };
    const plan = await planRestore(fixture.context(), input);
    await git(join(fixture.folder, 'code'), 'commit', '-qam', 'a commit after the plan');
    await writeFile(join(path, 'documents/invoice-1.txt'), 'changed');
    const run = runRestore(fixture.context(), {
      ...input,
      fingerprint: plan.fingerprint,
      recoveries: fixture.recoveries,
      takeSafetySnapshot: () => Promise.reject(new Error('not asked for')),
    });
    await expect(run).rejects.toMatchObject({ code: 'RESTORE_PLAN_STALE' });
    expect(await readFile(join(path, 'documents/invoice-1.txt'), 'utf8')).toBe('changed');
  });

  test('whose safety snapshot fails changes nothing and starts nothing', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    await makeFiles(path);
    const app = fixture.app([folderComponent(path)], {
      origin: { type: 'host', stopCommand: ['false'], startCommand: ['true'] },
    });
    const taken = await fixture.snapshot(app);
    const input = { app, snapshotId: taken.snapshot.id, manifest: taken.manifest, safetySnapshot: true };
    const { fingerprint } = await planRestore(fixture.context(), input);
    await writeFile(join(path, 'new.txt'), 'new');
    const run = runRestore(fixture.context(), {
      ...input,
      fingerprint,
      recoveries: fixture.recoveries,
      takeSafetySnapshot: () => Promise.reject(new Error('the disk is full')),
    });
    await expect(run).rejects.toThrow('the disk is full');
    expect(await readFile(join(path, 'new.txt'), 'utf8')).toBe('new');
  });

  test('runs the stop command before and the start command after; a failing stop command changes nothing', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    const mark = join(fixture.folder, 'commands');
    await makeFiles(path);
    const say = (word: string): string[] => ['sh', '-c', `echo ${word} >> ${mark}`];
    const app = fixture.app([folderComponent(path)], {
      origin: { type: 'host', stopCommand: say('stop'), startCommand: say('start') },
    });
    const taken = await fixture.snapshot(app);
    await fixture.restore(app, taken);
    expect(await readFile(mark, 'utf8')).toBe('stop\nstart\n');
    expect(fixture.journal.size).toBe(0);

    await writeFile(join(path, 'new.txt'), 'new');
    const failing = fixture.app([folderComponent(path)], {
      origin: { type: 'host', stopCommand: ['sh', '-c', 'echo no way >&2; exit 3'], startCommand: say('start') },
    });
    await expect(fixture.restore(failing, taken)).rejects.toMatchObject({
      code: 'COMMAND_FAILED',
      message: expect.stringContaining('no way'),
    });
    expect(await readFile(join(path, 'new.txt'), 'utf8')).toBe('new');
    expect(await readFile(mark, 'utf8')).toBe('stop\nstart\nstart\n');
    expect(fixture.journal.size).toBe(0);
  });

  test('with consistency stop rests while its files are saved, and runs again after a failure too', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    const running = join(path, 'running');
    await makeFiles(path);
    await writeFile(running, '');
    const origin = { type: 'host' as const, stopCommand: ['rm', running], startCommand: ['touch', running] };
    const policy = { consistency: 'stop' } as const;
    const taken = await fixture.snapshot(fixture.app([folderComponent(path)], { origin, policy }));
    const { tree } = await fixture.repository.findSnapshot(taken.snapshot.id);
    const saved = findNode(fixture.repository, { treeId: tree, path: '/volumes/files/running' });
    await expect(saved).rejects.toMatchObject({ code: 'PATH_NOT_FOUND' });
    await stat(running);

    const failing = fixture.app([folderComponent(path), folderComponent(`${path}-gone`, 'gone')], { origin, policy });
    await expect(fixture.snapshot(failing)).rejects.toMatchObject({ code: 'ARCHIVE_SOURCE_MISSING' });
    await stat(running);
    expect(fixture.journal.size).toBe(0);
  });

  test('that cannot write says which part is in which state, and starts the app again', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    const other = join(fixture.folder, 'other');
    await makeFiles(path);
    await makeFiles(other);
    const mark = join(fixture.folder, 'commands');
    const app = fixture.app([folderComponent(other, 'other'), folderComponent(path)], {
      origin: { type: 'host', stopCommand: ['true'], startCommand: ['touch', mark] },
    });
    const taken = await fixture.snapshot(app);
    // A file where the folder was: the plan sees something there, and the restore cannot make a folder of it.
    await rename(path, `${path}.aside`);
    await writeFile(path, 'in the way');
    const failure = await fixture.restore(app, taken).then(
      () => null,
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: expect.stringMatching(/^RESTORE_/) });
    if (failure instanceof Error && 'code' in failure && failure.code === 'RESTORE_FAILED') {
      expect(failure.message).toContain('other: restored');
      expect(failure.message).toContain('files: half restored');
      await readFile(mark);
    }
    expect(fixture.journal.size).toBe(0);
  });
});

describe('a snapshot', () => {
  test('that is cancelled midway leaves no snapshot file and no lock', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    await mkdir(path);
    for (let number = 0; number < 40; number++)
      await writeFile(join(path, `${number}.bin`), Buffer.alloc(1_000_000, `${number} random`));
    const abort = new AbortController();
    const context = fixture.context(abort.signal);
    const cancelling = {
      ...context,
      report: (progress: Parameters<typeof context.report>[0]) => {
        if (progress.bytesDone > 5_000_000) abort.abort();
      },
    };
    await expect(
      takeSnapshot(cancelling, { app: fixture.app([folderComponent(path)]), kind: 'manual' }),
    ).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await fixture.snapshotCount()).toBe(0);
    expect(await fixture.repository.listFiles('lock')).toEqual([]);
  });

  test('can be described from the repository alone, as it was when it was made', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    await makeFiles(path);
    const taken = await fixture.snapshot(fixture.app([folderComponent(path)]));
    const [stored] = await fixture.repository.listSnapshots();
    if (stored === undefined) throw new Error('no snapshot was stored');
    expect(stored.tags).toEqual(['varve', 'app:shop', 'kind:manual']);
    expect(describeSnapshot(stored, await readManifest(fixture.repository, stored))).toEqual(taken.snapshot);
  });

  test('names its parent, so that a second one adds next to nothing', async () => {
    await using fixture = await runFixture();
    const path = join(fixture.folder, 'files');
    await makeFiles(path);
    const app = fixture.app([folderComponent(path)]);
    const first = await fixture.snapshot(app);
    const second = await fixture.snapshot(app);
    const stored = await fixture.repository.listSnapshots();
    expect(stored.at(-1)?.parent).toBe(first.snapshot.id);
    expect(second.snapshot.bytesAdded).toBeLessThan(20_000);
  });
});
