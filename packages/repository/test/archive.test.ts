import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { AppError } from '@varve/base';
import {
  backupPaths,
  checkRepository,
  findNode,
  listTree,
  readFileContent,
  startArchive,
  type ArchiveResult,
  type Repository,
} from '@varve/repository';
import { describeTree } from '@varve/testing';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { loadLibc, makeOddTree, noise } from './odd-tree.ts';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const noRestic = resticMissing();
const commitOptions = {
  time: new Date('2026-03-04T05:06:07.008Z'),
  hostname: 'host',
  paths: ['/x'],
  programVersion: 'varve',
};
const readAttributes = (path: Buffer): { name: string; value: Buffer }[] => loadLibc().readAttributes(path);

async function scratch(): Promise<ScratchFolder> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  return folder;
}

function backUp(repository: Repository, source: string, more: object = {}): Promise<ArchiveResult> {
  return backupPaths(repository, { paths: [source], hostname: 'host', ...more });
}

/** Our check with all data, restic's where it is there, and no lock left. */
async function expectSound(folder: ScratchFolder, repository: Repository): Promise<void> {
  const report = await checkRepository(repository, { readData: true });
  expect(report.errors).toEqual([]);
  if (noRestic === null) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
  expect(readdirSync(join(folder.repo, 'locks'))).toEqual([]);
}

async function pathsOf(repository: Repository, treeId: string): Promise<string[]> {
  const listed = await Array.fromAsync(listTree(repository, { treeId, recursive: true }));
  return listed.map(({ path }) => path);
}

async function textOf(repository: Repository, treeId: string, path: string): Promise<string> {
  return Buffer.concat(await Array.fromAsync(readFileContent(repository, { treeId, path }))).toString();
}

describe('a folder of odd things', () => {
  test.skipIf(noRestic !== null)(
    'gets the tree id that restic gives it, and restic restores it as it was',
    async () => {
      const folder = await scratch();
      const repository = await folder.createRepository();
      const source = join(folder.path, 'source');
      makeOddTree(source);
      const before = describeTree(source, { readAttributes });
      // Relative, so that folders above it, which other programs change, do not count.
      const ours = await backUp(repository, 'source', { cwd: folder.path });
      expect(ours.problems).toEqual([]);
      const theirs = JSON.parse(
        (await folder.restic(['backup', '--json', '--host', 'host', 'source'], { cwd: folder.path }))
          .trim()
          .split('\n')
          .at(-1) ?? '',
      ) as { data_blobs: number; tree_blobs: number; files_unmodified: number };
      const snapshots = JSON.parse(await folder.restic(['snapshots', '--json'])) as { tree: string }[];
      expect(snapshots.map(({ tree }) => tree)).toEqual([ours.snapshot.tree, ours.snapshot.tree]);
      expect(theirs.data_blobs + theirs.tree_blobs).toBe(0);
      // restic found our snapshot to be a parent whose files it need not read.
      expect(theirs.files_unmodified).toBe(ours.summary.totalFilesProcessed);
      const target = join(folder.path, 'restored');
      await folder.restic(['restore', ours.snapshot.id, '--target', target]);
      expect(describeTree(join(target, 'source'), { readAttributes })).toEqual(before);
      await expectSound(folder, repository);
    },
  );

  test('is not read again when nothing changed, and only what changed is', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    makeOddTree(source);
    const first = await backUp(repository, source);
    const second = await backUp(repository, source);
    expect(second.snapshot.parent).toBe(first.snapshot.id);
    expect(second.summary).toMatchObject({ filesNew: 0, filesChanged: 0, dataBlobs: 0, dirsNew: 0 });
    expect(second.summary.filesUnmodified).toBe(first.summary.filesNew);
    expect(second.summary.totalBytesProcessed).toBe(first.summary.totalBytesProcessed);
    appendFileSync(join(source, 'folder/file-7'), 'more');
    writeFileSync(join(source, 'folder/new'), 'new');
    const third = await backUp(repository, source);
    expect(third.summary).toMatchObject({ filesNew: 1, filesChanged: 1, dataBlobs: 2 });
    expect(await textOf(repository, third.snapshot.tree, `${source}/folder/file-7`)).toBe('content 7more');
    await expectSound(folder, repository);
  });
});

describe('paths given as restic takes them', () => {
  test.skipIf(noRestic !== null)('relative, nested and dotted ones get the same trees', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const cwd = join(folder.path, 'work');
    mkdirSync(join(cwd, 'a/b/c'), { recursive: true });
    mkdirSync(join(folder.path, 'beside'));
    writeFileSync(join(cwd, 'a/b/c/file'), '1');
    writeFileSync(join(cwd, 'a/other'), '2');
    writeFileSync(join(folder.path, 'beside/file'), '3');
    for (const paths of [['a'], ['a/b/c/file'], ['./a/b', 'a/other'], ['../beside'], ['.']]) {
      const ours = await backupPaths(repository, { paths, cwd, hostname: 'host' });
      await folder.restic(['backup', '--force', ...paths], { cwd });
      const [theirs] = JSON.parse(await folder.restic(['snapshots', '--json', 'latest'])) as { tree: string }[];
      expect.soft(ours.snapshot.tree, paths.join(' ')).toBe(theirs?.tree);
    }
    // Above an absolute path lie folders that other programs change meanwhile.
    const absolute = [join(cwd, 'a'), join(cwd, 'a/b')];
    const ours = await backupPaths(repository, { paths: absolute, hostname: 'host' });
    await folder.restic(['backup', '--force', ...absolute]);
    const [theirs] = JSON.parse(await folder.restic(['snapshots', '--json', 'latest'])) as { tree: string }[];
    const at = async (treeId: string): Promise<object> => findNode(repository, { treeId, path: cwd });
    expect(await at(ours.snapshot.tree)).toEqual(await at(theirs?.tree ?? ''));
  });

  test.skipIf(noRestic !== null)('excludes leave out what restic leaves out', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    makeOddTree(source);
    const excludes = ['file-1*', 'deeper/**/leaf', join(source, 'medium'), '[a-e]*', '!empty'];
    const ours = await backUp(repository, 'source', { excludes, cwd: folder.path });
    const options = excludes.map((pattern) => `--exclude=${pattern}`);
    await folder.restic(['backup', '--force', ...options, 'source'], { cwd: folder.path });
    const [theirs] = JSON.parse(await folder.restic(['snapshots', '--json', 'latest'])) as { tree: string }[];
    expect(ours.snapshot.tree).toBe(theirs?.tree);
    expect(ours.snapshot.excludes).toEqual(excludes);
  });
});

describe('an archive session', () => {
  test('puts folders, streams, bytes and files into one snapshot', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    mkdirSync(join(source, 'cache'), { recursive: true });
    writeFileSync(join(source, 'data'), 'data');
    writeFileSync(join(source, 'cache/x'), 'x');
    const big = noise(20_000_000, 'stream');
    async function* stream(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < big.length; at += 77_777) yield big.subarray(at, at + 77_777);
    }
    await using session = await startArchive(repository, { excludes: ['/volumes/**/cache'] });
    const added = await Promise.all([
      session.addPath({ source, target: '/volumes/one' }),
      session.addPath({ source, target: '/volumes/two', excludes: ['/data'] }),
      session.addPath({ source: join(source, 'data'), target: '/config/renamed' }),
      session.addStream({ target: '/databases/db/dump', source: stream(), mode: 0o600 }),
      session.addBytes({ target: '/manifest.json', data: Buffer.from('{}'), modifiedAt: new Date(1000) }),
    ]);
    const result = await session.commit({ ...commitOptions, tags: ['varve', 'app:x'] });
    expect(added.map(({ files, bytes }) => [files, bytes])).toEqual([
      [1, 4],
      [0, 0],
      [1, 4],
      [1, 20_000_000],
      [1, 2],
    ]);
    const { tree, username } = result.snapshot;
    expect(username).toBe(userInfo().username);
    expect(await pathsOf(repository, tree)).toEqual([
      '/config',
      '/config/renamed',
      '/databases',
      '/databases/db',
      '/databases/db/dump',
      '/manifest.json',
      '/volumes',
      '/volumes/one',
      '/volumes/one/data',
      '/volumes/two',
    ]);
    const dump = Buffer.concat(
      await Array.fromAsync(readFileContent(repository, { treeId: tree, path: '/databases/db/dump' })),
    );
    expect(dump.equals(big)).toBe(true);
    expect(result.snapshot).toMatchObject({ hostname: 'host', tags: ['varve', 'app:x'], paths: ['/x'] });
    expect(result.summary.totalBytesProcessed).toBe(20_000_010);
    await expectSound(folder, repository);
  });

  test('leaves no snapshot when a stream fails, and keeps what other runs need', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield noise(3_000_000, 'broken');
      throw new AppError('DATABASE_DUMP_FAILED', 'pg_dump ended with 1');
    }
    const session = await startArchive(repository);
    const add = session.addStream({ target: '/dump', source: broken() });
    await session.addBytes({ target: '/manifest.json', data: Buffer.from('{}') });
    await expect(add).rejects.toMatchObject({ code: 'DATABASE_DUMP_FAILED' });
    await expect(session.commit(commitOptions)).rejects.toMatchObject({ code: 'DATABASE_DUMP_FAILED' });
    expect(await repository.listSnapshots()).toEqual([]);
    expect(readdirSync(join(folder.repo, 'locks'))).toEqual([]);
    await using next = await startArchive(repository);
    await next.addBytes({ target: '/manifest.json', data: Buffer.from('{}') });
    await next.commit(commitOptions);
    await expectSound(folder, repository);
  });

  test('that was aborted leaves nothing that a later one in the same process takes for stored', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    mkdirSync(source);
    writeFileSync(join(source, 'noise'), noise(40_000_000, 'aborted'));
    const session = await startArchive(repository, {});
    await session.addPath({ source, target: '/data' });
    await session.abort();
    expect((await repository.listFiles('pack')).length).toBeGreaterThan(0);
    await backUp(repository, source);
    await expectSound(folder, repository);
  });

  test('ends soon after an abort midway and writes nothing more', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let i = 0; ; i++) yield noise(1_000_000, String(i));
    }
    const session = await startArchive(repository, {
      signal: controller.signal,
      onProgress: ({ bytesDone }) => {
        if (bytesDone > 30_000_000) controller.abort();
      },
    });
    await expect(session.addStream({ target: '/x', source: endless() })).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(session.commit(commitOptions)).rejects.toMatchObject({ code: 'CANCELLED' });
    const packs = execFileSync('find', [join(folder.repo, 'data'), '-type', 'f'], { encoding: 'utf8' });
    await session.abort();
    expect(execFileSync('find', [join(folder.repo, 'data'), '-type', 'f'], { encoding: 'utf8' })).toBe(packs);
    expect(await repository.listSnapshots()).toEqual([]);
    expect(readdirSync(join(folder.repo, 'locks'))).toEqual([]);
  });

  test('refuses a source that is missing, a target that is none and one that is taken', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    await expect(backUp(repository, join(folder.path, 'nothing'))).rejects.toMatchObject({
      code: 'ARCHIVE_SOURCE_MISSING',
    });
    for (const target of ['relative', '/a/../b', '']) {
      await using session = await startArchive(repository);
      const add = async (): Promise<unknown> => session.addBytes({ target, data: Buffer.alloc(1) });
      await expect(add()).rejects.toMatchObject({ code: 'USAGE_INVALID' });
    }
    await using session = await startArchive(repository);
    await session.addBytes({ target: '/a', data: Buffer.alloc(1) });
    await expect(session.addBytes({ target: '/a', data: Buffer.alloc(1) })).rejects.toMatchObject({
      code: 'USAGE_INVALID',
    });
    await expect(session.addBytes({ target: '/a/b', data: Buffer.alloc(1) })).rejects.toMatchObject({
      code: 'USAGE_INVALID',
    });
    expect(await repository.listSnapshots()).toEqual([]);
  });

  test('reports files that cannot be read and goes on without them', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    mkdirSync(join(source, 'sub'), { recursive: true });
    // Enough for many jobs, so that a file can vanish between listing and reading.
    for (let i = 0; i < 2000; i++) writeFileSync(join(source, `f${String(i).padStart(4, '0')}`), `content ${i}`);
    writeFileSync(join(source, 'sub/stays'), 'stays');
    await using session = await startArchive(repository, {
      workers: 1,
      onProgress: () => rmSync(join(source, 'f1999'), { force: true }),
    });
    await session.addBytes({ target: '/first', data: Buffer.alloc(1) });
    const item = await session.addPath({ source, target: '/source' });
    const result = await session.commit(commitOptions);
    const { tree } = result.snapshot;
    const paths = await pathsOf(repository, tree);
    // Gone before the listing: no problem. Gone after it: reported. Never in the snapshot without its content.
    expect(paths.includes('/source/f1999')).toBe(false);
    expect(paths).toContain('/source/sub/stays');
    expect(item.problems.length).toBeLessThanOrEqual(1);
    expect(result.problems).toEqual(item.problems);
    await expectSound(folder, repository);
  });

  test('reports a damaged tree of the parent snapshot, which the new one may share', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    mkdirSync(source);
    writeFileSync(join(source, 'file'), 'content');
    const first = await backUp(repository, source);
    const { subtree = '' } = await findNode(repository, { treeId: first.snapshot.tree, path: source });
    const { packId, offset } = repository.index.lookup('tree', subtree)!;
    const pack = join(folder.repo, 'data', packId.slice(0, 2), packId);
    const bytes = readFileSync(pack);
    bytes[offset + 20]! ^= 1;
    chmodSync(pack, 0o600);
    writeFileSync(pack, bytes);
    const second = await backUp(repository, source);
    expect(second.problems).toEqual([{ path: source, message: expect.stringContaining(subtree) }]);
    expect(second.summary).toMatchObject({ filesNew: 1, filesUnmodified: 0 });
  });

  test('a file that changes its size while it is read is saved as it was read', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'growing');
    writeFileSync(source, noise(40_000_000, 'grow'));
    await using session = await startArchive(repository, {
      onProgress: () => appendFileSync(source, noise(100_000, 'more')),
    });
    const [item] = await Promise.all([
      session.addPath({ source, target: '/growing' }),
      session.addBytes({ target: '/x', data: Buffer.alloc(1) }),
    ]);
    const { snapshot } = await session.commit(commitOptions);
    const content = await Array.fromAsync(readFileContent(repository, { treeId: snapshot.tree, path: '/growing' }));
    expect(Buffer.concat(content)).toHaveLength(item.bytes);
    await expectSound(folder, repository);
  });
});

test('what any small tree holds comes back', async () => {
  const folder = await scratch();
  const repository = await folder.createRepository();
  const name = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 8 })
    .filter((text) => !/[/\0]|^\.\.?$/.test(text) && text.isWellFormed());
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 50 }),
    fc.nat({ max: 1_500_000 }).map((size) => noise(size, String(size))),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.tuple(name, content), { maxLength: 12, selector: ([text]) => text }),
      async (files) => {
        await using session = await startArchive(repository);
        await Promise.all(files.map(([text, data], i) => session.addBytes({ target: `/${i % 3}/${text}`, data })));
        const { snapshot } = await session.commit(commitOptions);
        for (const [i, [text, data]] of files.entries()) {
          const path = `/${i % 3}/${text}`;
          const read = Buffer.concat(
            await Array.fromAsync(readFileContent(repository, { treeId: snapshot.tree, path })),
          );
          expect([path, read.equals(Buffer.from(data))]).toEqual([path, true]);
        }
      },
    ),
    { numRuns: 8 },
  );
  await expectSound(folder, repository);
});
