// What is left out: restic is the judge, by the ids of the trees.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  backupPaths,
  cacheMark,
  checkRepository,
  listTree,
  startArchive,
  type BackupOutcome,
  type BackupPathsOptions,
  type Repository,
} from '@varve/repository';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isRoot } from './odd-tree.ts';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const noRestic = resticMissing();

interface Lab {
  readonly folder: ScratchFolder;
  readonly repository: Repository;
  readonly source: string;
}

async function lab(): Promise<Lab> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const source = join(folder.path, 'source');
  mkdirSync(source);
  return { folder, repository: await folder.createRepository(), source };
}

function backUp({ repository, folder }: Lab, more: Partial<BackupPathsOptions> = {}): Promise<BackupOutcome> {
  return backupPaths(repository, { paths: ['source'], cwd: folder.path, hostname: 'host', workers: 1, ...more });
}

/** The tree that restic makes of the same folder. */
async function treeOfRestic({ folder, repository }: Lab, args: readonly string[]): Promise<string> {
  const printed = await folder.restic(['backup', '--force', '--json', ...args, 'source'], { cwd: folder.path });
  const { snapshot_id } = JSON.parse(printed.trim().split('\n').at(-1) ?? '') as { snapshot_id: string };
  return (await repository.findSnapshot(snapshot_id)).tree;
}

async function pathsOf(repository: Repository, treeId: string): Promise<string[]> {
  const listed = await Array.fromAsync(listTree(repository, { treeId, recursive: true }));
  return listed.map(({ path }) => path);
}

describe.skipIf(noRestic !== null)('leaves out what restic leaves out', () => {
  test('by any patterns, of any names', async () => {
    const all = await lab();
    const letter = fc.constantFrom(
      'a',
      'b',
      'A',
      'é',
      'É',
      '€',
      '-',
      '^',
      '!',
      '[',
      ']',
      '*',
      '?',
      '\\',
      '.',
      ' ',
      'Σ',
    );
    const names = fc.sample(
      fc.array(letter, { minLength: 1, maxLength: 4 }).map((letters) => letters.join('')),
      { numRuns: 60, seed: 7 },
    );
    const rawNames = [
      Buffer.from('\xff', 'latin1'),
      Buffer.from('a\xe2\x82', 'latin1'),
      Buffer.from('b\x80b', 'latin1'),
    ];
    const proper = [...new Set(names)].filter((name) => name !== '.' && name !== '..');
    for (const [i, name] of proper.entries()) {
      const parent = proper[i % 7] ?? '';
      mkdirSync(join(all.source, 'x', parent), { recursive: true });
      if (i >= 7) writeFileSync(join(all.source, 'x', parent, name), '');
      mkdirSync(join(all.source, 'y', name, 'b'), { recursive: true });
    }
    for (const name of rawNames) writeFileSync(Buffer.concat([Buffer.from(`${all.source}/x/`), name]), '');
    const component = fc.oneof(
      fc.array(fc.constantFrom('*', '?', 'a', 'b', 'é', '[a-b]', '[^a]', '[É-€]', '\\*', '[b-a]', 'A', '.'), {
        minLength: 1,
        maxLength: 3,
      }),
      fc.constantFrom(['**'], ['*'], ['..'], ['x'], ['y'], ['source']),
    );
    const pattern = fc
      .tuple(
        fc.constantFrom('', '', '!'),
        fc.constantFrom('', '', '/', `${all.folder.path}/`, `${all.source}/x/`),
        fc.array(component, { minLength: 1, maxLength: 3 }),
        fc.constantFrom('', '', '/'),
      )
      .map(([not, root, parts, end]) => not + root + parts.map((part) => part.join('')).join('/') + end);
    await fc.assert(
      fc.asyncProperty(
        fc.array(pattern, { maxLength: 4 }),
        fc.array(pattern, { maxLength: 1 }),
        async (excludes, excludesIgnoringCase) => {
          const args = [
            ...excludes.map((text) => `--exclude=${text}`),
            ...excludesIgnoringCase.map((text) => `--iexclude=${text}`),
          ];
          const ours = await backUp(all, { excludes, excludesIgnoringCase, dryRun: true, parent: null }).then(
            ({ tree }) => tree,
            (error: Error) => error.message,
          );
          const theirs = await treeOfRestic(all, args).catch(() => 'failed');
          if (theirs === 'failed') expect(ours).toMatch(/excluded/);
          else expect(ours).toBe(theirs);
        },
      ),
      {
        numRuns: 12,
        examples: [
          [['*', '!a*'], []],
          [['**'], []],
          [['!**', 'y/**/b'], ['É']],
        ],
      },
    );
  });

  test('by marks in folders, sizes and the exclusion of single files', async () => {
    const all = await lab();
    const { source } = all;
    for (const name of ['cache/sub', 'falsecache', 'marked/sub', 'kept', 'headed', 'otherhead']) {
      mkdirSync(join(source, name), { recursive: true });
      writeFileSync(join(source, name, 'file'), 'file');
    }
    writeFileSync(join(source, 'cache/CACHEDIR.TAG'), `${cacheMark.header}\n# more`);
    writeFileSync(join(source, 'falsecache/CACHEDIR.TAG'), 'Signature: no');
    writeFileSync(join(source, 'marked/.nobackup'), '');
    writeFileSync(join(source, 'headed/.head'), 'head and more');
    writeFileSync(join(source, 'otherhead/.head'), 'he');
    writeFileSync(join(source, 'kept/large'), 'x'.repeat(2001));
    writeFileSync(join(source, 'kept/limit'), 'x'.repeat(2000));
    const ours = await backUp(all, {
      excludeIfPresent: [cacheMark, { name: '.nobackup' }, { name: '.head', header: 'head' }],
      excludeLargerThanBytes: 2000,
    });
    const theirs = await treeOfRestic(all, [
      '--exclude-caches',
      '--exclude-if-present=.nobackup',
      '--exclude-if-present=.head:head',
      '--exclude-larger-than=2000',
    ]);
    expect(ours.tree).toBe(theirs);
    expect(await pathsOf(all.repository, ours.tree)).toEqual([
      '/source',
      '/source/cache',
      '/source/cache/CACHEDIR.TAG',
      '/source/falsecache',
      '/source/falsecache/CACHEDIR.TAG',
      '/source/falsecache/file',
      '/source/headed',
      '/source/headed/.head',
      '/source/kept',
      '/source/kept/file',
      '/source/kept/limit',
      '/source/marked',
      '/source/marked/.nobackup',
      '/source/otherhead',
      '/source/otherhead/.head',
      '/source/otherhead/file',
    ]);
    expect(ours.problems).toEqual([]);
    expect(ours.notices.map(({ path }) => path).sort()).toEqual([
      join(source, 'falsecache/CACHEDIR.TAG'),
      join(source, 'otherhead/.head'),
    ]);
    expect((await checkRepository(all.repository, { readData: true })).errors).toEqual([]);
    expect(await all.folder.restic(['check', '--read-data'])).toContain('no errors were found');
  });

  test.skipIf(!isRoot)('on other file systems, whose mount points stay as empty folders', async (context) => {
    const all = await lab();
    const { source } = all;
    mkdirSync(join(source, 'a/mount'), { recursive: true });
    writeFileSync(join(source, 'a/file'), 'here');
    try {
      execFileSync('mount', ['-t', 'tmpfs', 'none', join(source, 'a/mount')], { stdio: 'ignore' });
    } catch {
      context.skip('this process may not mount');
    }
    onTestFinished(() => void execFileSync('umount', [join(source, 'a/mount')]));
    mkdirSync(join(source, 'a/mount/inner/deep'), { recursive: true });
    writeFileSync(join(source, 'a/mount/other'), 'there');
    writeFileSync(join(source, 'a/mount/inner/wanted'), 'wanted');
    const ours = await backUp(all, { oneFileSystem: true });
    expect(ours.tree).toBe(await treeOfRestic(all, ['--one-file-system']));
    expect(await pathsOf(all.repository, ours.tree)).toEqual([
      '/source',
      '/source/a',
      '/source/a/file',
      '/source/a/mount',
    ]);
    // A path that is named is saved wherever it is.
    const both = await backUp(all, { oneFileSystem: true, paths: ['source', 'source/a/mount/inner'] });
    expect(both.tree).toBe(await treeOfRestic(all, ['--one-file-system', 'source/a/mount/inner']));
    expect(await pathsOf(all.repository, both.tree)).toContain('/source/a/mount/inner/wanted');
    await using session = await startArchive(all.repository);
    await session.addPath({ source, target: '/one', oneFileSystem: true });
    const { snapshot } = await session.commit({
      time: new Date(),
      hostname: 'h',
      paths: ['/one'],
      programVersion: 'v',
    });
    expect(await pathsOf(all.repository, snapshot.tree)).toEqual(['/one', '/one/a', '/one/a/file', '/one/a/mount']);
  });
});

describe('sources that are not there or not wanted', () => {
  test('are told when others are saved, and refused when nothing is left', async () => {
    const all = await lab();
    writeFileSync(join(all.source, 'file'), 'x');
    const partial = await backUp(all, { paths: ['source', 'nothing'] });
    expect(partial.problems).toEqual([
      { path: join(all.folder.path, 'nothing'), message: expect.stringContaining('ENOENT') },
    ]);
    expect(partial.snapshot?.paths).toEqual([all.source]);
    await expect(backUp(all, { paths: ['nothing', 'neither'] })).rejects.toMatchObject({
      code: 'ARCHIVE_SOURCE_MISSING',
    });
    await expect(backUp(all, { excludes: ['source'] })).rejects.toMatchObject({ code: 'ARCHIVE_SOURCE_MISSING' });
    expect(await all.repository.listSnapshots()).toHaveLength(1);
  });

  test('a source may have a name that is not UTF-8', async () => {
    const all = await lab();
    const name = Buffer.from('bad\xff', 'latin1');
    const path = Buffer.concat([Buffer.from(`${all.source}/`), name]);
    writeFileSync(path, 'x');
    const { snapshot, tree } = await backUp(all, { paths: [path] });
    expect(snapshot?.paths).toEqual([`${all.source}/bad\ufffd`]);
    const listed = await Array.fromAsync(listTree(all.repository, { treeId: tree, recursive: true }));
    expect(listed.at(-1)?.node.name).toEqual(name);
  });
});
