import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { backupPaths, openRepository, restoreTree, startArchive, type Repository } from '@varve/repository';
import { describeTree } from '@varve/testing';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { PackBuilder } from '../src/pack/pack-builder.ts';
import { PackUploader } from '../src/pack/pack-uploader.ts';
import { isRoot, loadLibc, makeOddTree, noise } from './odd-tree.ts';
import { resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const noRestic = resticMissing();
const readAttributes = (path: Buffer): { name: string; value: Buffer }[] => loadLibc().readAttributes(path);
const commitOptions = {
  time: new Date('2026-03-04T05:06:07.008Z'),
  hostname: 'host',
  paths: ['/x'],
  programVersion: 'varve',
};

async function scratch(): Promise<ScratchFolder> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  return folder;
}

interface Saved {
  readonly folder: ScratchFolder;
  readonly repository: Repository;
  readonly source: string;
  readonly target: string;
  readonly treeId: string;
}

/** A folder that `fill` makes, saved as `/source`. */
async function saved(fill: (source: string) => void): Promise<Saved> {
  const folder = await scratch();
  const repository = await folder.createRepository();
  const source = join(folder.path, 'source');
  mkdirSync(source);
  fill(source);
  const { snapshot } = await backupPaths(repository, { paths: ['source'], cwd: folder.path, hostname: 'host' });
  return { folder, repository, source, target: join(folder.path, 'target'), treeId: snapshot.tree };
}

function fillSimple(source: string): void {
  mkdirSync(join(source, 'sub'));
  writeFileSync(join(source, 'file'), 'file');
  writeFileSync(join(source, 'sub/one'), 'one');
  writeFileSync(join(source, 'big'), noise(9_000_000, 'big'));
}

describe('a restore', () => {
  test('brings everything back, and a second one finds nothing to write', async () => {
    const { repository, source, target, treeId } = await saved((path) => makeOddTree(path));
    const before = describeTree(source, { readAttributes, owners: isRoot });
    const first = await restoreTree(repository, { treeId, path: '/source', target, verify: true });
    expect(first.problems.filter(({ message }) => isRoot || !/Owners/.test(message))).toEqual([]);
    expect(describeTree(target, { readAttributes, owners: isRoot })).toEqual(before);
    const second = await restoreTree(repository, { treeId, path: '/source', target });
    expect(second.bytes).toBe(0);
    expect(describeTree(target, { readAttributes, owners: isRoot })).toEqual(before);
  });

  test.skipIf(noRestic !== null).each([1, 2])('brings back what restic saved in format %i', async (version) => {
    const folder = await scratch();
    const source = join(folder.path, 'source');
    makeOddTree(source);
    await folder.restic(['init', `--repository-version=${version}`]);
    await folder.restic(['backup', 'source'], { cwd: folder.path });
    const repository = await openRepository({ storage: folder.storage(), password: new Secret(resticPassword) });
    const { tree } = await repository.findSnapshot('latest');
    const target = join(folder.path, 'target');
    await restoreTree(repository, { treeId: tree, path: '/source', target });
    expect(describeTree(target, { readAttributes })).toEqual(describeTree(source, { readAttributes }));
  });

  test('writes only the chunks that differ, and cuts what is too long', async () => {
    const { repository, target, treeId, source } = await saved(fillSimple);
    await restoreTree(repository, { treeId, path: '/source', target });
    const damaged = readFileSync(join(target, 'big'));
    damaged[8_900_000] = 255 - (damaged[8_900_000] ?? 0);
    writeFileSync(join(target, 'big'), damaged);
    appendFileSync(join(target, 'file'), 'too long');
    const inode = statSync(join(target, 'big')).ino;
    const result = await restoreTree(repository, { treeId, path: '/source', target });
    expect(result.bytes).toBeLessThan(9_000_000);
    expect(result.unchanged).toBe(1);
    expect(statSync(join(target, 'big')).ino).toBe(inode);
    expect(describeTree(target)).toEqual(describeTree(source));
  });

  test('overwrites as told', async () => {
    const { repository, target, treeId } = await saved(fillSimple);
    const content = (): string => readFileSync(join(target, 'file'), 'utf8');
    const restore = (overwrite: 'always' | 'if-changed' | 'if-newer' | 'never'): Promise<object> =>
      restoreTree(repository, { treeId, path: '/source', target, overwrite });
    await restore('never');
    const before = lstatSync(join(target, 'file'), { bigint: true }).mtimeNs;
    writeFileSync(join(target, 'file'), 'mine');
    await restore('never');
    expect(content()).toBe('mine');
    await restore('if-newer');
    expect(content()).toBe('mine');
    utimesSync(join(target, 'file'), 1, 1);
    await restore('if-newer');
    expect(content()).toBe('file');
    writeFileSync(join(target, 'file'), 'mine');
    // Same size and time: trusted, unless contents are compared.
    loadLibc().setTimes(Buffer.from(join(target, 'file')), { atimeNs: before, mtimeNs: before });
    await restore('if-changed');
    expect(content()).toBe('mine');
    await restore('always');
    expect(content()).toBe('file');
  });

  test('removes what the snapshot does not have only when told, and a dry run changes nothing', async () => {
    const { repository, target, treeId, source } = await saved(fillSimple);
    await restoreTree(repository, { treeId, path: '/source', target });
    mkdirSync(join(target, 'extra/deep'), { recursive: true });
    writeFileSync(join(target, 'extra/deep/x'), 'x');
    writeFileSync(join(target, 'keep.me'), 'x');
    const before = describeTree(target);
    const options = { treeId, path: '/source', target, deleteOthers: true, exclude: ['keep.*'] };
    const dry = await restoreTree(repository, { ...options, dryRun: true });
    expect(dry.deleted).toBeGreaterThan(0);
    expect(describeTree(target)).toEqual(before);
    await restoreTree(repository, { treeId, path: '/source', target });
    expect(existsSync(join(target, 'extra'))).toBe(true);
    const result = await restoreTree(repository, options);
    expect(result.deleted).toBe(3);
    expect(existsSync(join(target, 'keep.me'))).toBe(true);
    rmSync(join(target, 'keep.me'));
    await restoreTree(repository, options);
    expect(describeTree(target)).toEqual(describeTree(source));
  });

  test('selects by patterns and makes only the folders that are needed', async () => {
    const { repository, target, treeId } = await saved(fillSimple);
    await restoreTree(repository, { treeId, target, include: ['/source/sub'] });
    expect(readdirSync(join(target, 'source'))).toEqual(['sub']);
    rmSync(target, { recursive: true });
    await restoreTree(repository, { treeId, target, exclude: ['sub', 'big'] });
    expect(readdirSync(join(target, 'source'))).toEqual(['file']);
    rmSync(target, { recursive: true });
    await restoreTree(repository, { treeId, path: '/source/sub/one', target });
    expect(readFileSync(join(target, 'one'), 'utf8')).toBe('one');
    await expect(restoreTree(repository, { treeId, path: '/nothing', target })).rejects.toMatchObject({
      code: 'PATH_NOT_FOUND',
    });
  });

  test('does not write through links that are in the way, nor into files with other names', async () => {
    const { folder, repository, target, treeId, source } = await saved(fillSimple);
    const outside = join(folder.path, 'outside');
    mkdirSync(join(outside, 'folder'), { recursive: true });
    writeFileSync(join(outside, 'file'), 'precious');
    writeFileSync(join(outside, 'linked'), 'precious');
    mkdirSync(target);
    symlinkSync(join(outside, 'folder'), join(target, 'sub'));
    symlinkSync(join(outside, 'file'), join(target, 'file'));
    linkSync(join(outside, 'linked'), join(target, 'big'));
    await restoreTree(repository, { treeId, path: '/source', target });
    expect(describeTree(target)).toEqual(describeTree(source));
    expect(readdirSync(join(outside, 'folder'))).toEqual([]);
    expect(readFileSync(join(outside, 'file'), 'utf8')).toBe('precious');
    expect(readFileSync(join(outside, 'linked'), 'utf8')).toBe('precious');
  });

  test('says that a folder is in the way of a file, and leaves it', async () => {
    const { repository, target, treeId } = await saved(fillSimple);
    mkdirSync(join(target, 'file/full'), { recursive: true });
    const result = await restoreTree(repository, { treeId, path: '/source', target });
    expect(result.problems).toEqual([
      { path: '/source/file', message: expect.stringContaining('in the way') as string },
    ]);
    expect(existsSync(join(target, 'file/full'))).toBe(true);
    await restoreTree(repository, { treeId, path: '/source', target, deleteOthers: true });
    expect(readFileSync(join(target, 'file'), 'utf8')).toBe('file');
  });

  test('a target that is no folder is refused', async () => {
    const { repository, target, treeId } = await saved(fillSimple);
    writeFileSync(target, '');
    await expect(restoreTree(repository, { treeId, target })).rejects.toMatchObject({ code: 'RESTORE_TARGET_INVALID' });
  });

  test('ends when it is cancelled, and can be repeated', async () => {
    const { repository, target, treeId, source } = await saved((path) => {
      for (let i = 0; i < 40; i++) writeFileSync(join(path, `f${i}`), noise(1_000_000, String(i)));
    });
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    const cancelled = restoreTree(repository, {
      treeId,
      path: '/source',
      target,
      signal: controller.signal,
      onProgress,
    });
    await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' });
    await restoreTree(repository, { treeId, path: '/source', target, overwrite: 'if-changed' });
    expect(describeTree(target)).toEqual(describeTree(source));
  });

  test.runIf(isRoot)('a full disk is a clear error', async (context) => {
    const { folder, repository, treeId } = await saved((path) =>
      writeFileSync(join(path, 'big'), noise(9_000_000, 'x')),
    );
    const target = join(folder.path, 'small disk');
    mkdirSync(target);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', target], { stdio: 'ignore' });
    } catch {
      context.skip('a tmpfs cannot be mounted here');
    }
    try {
      await expect(restoreTree(repository, { treeId, target })).rejects.toMatchObject({
        code: 'RESTORE_FAILED',
        hint: expect.stringContaining('Make room') as string,
      });
    } finally {
      execFileSync('umount', [target]);
    }
  });

  test('leaves out a file whose content is damaged, and says which', async () => {
    const { folder, repository, target, treeId } = await saved(fillSimple);
    const packs = execFileSync('find', [join(folder.repo, 'data'), '-type', 'f', '-size', '+1000k'], {
      encoding: 'utf8',
    });
    for (const pack of packs.trim().split('\n')) {
      const bytes = readFileSync(pack);
      const middle = Math.floor(bytes.length / 2);
      bytes[middle] = 255 - (bytes[middle] ?? 0);
      chmodSync(pack, 0o600);
      writeFileSync(pack, bytes);
    }
    const result = await restoreTree(repository, { treeId, path: '/source', target });
    expect(result.problems).toEqual([{ path: '/source/big', message: expect.stringContaining('damaged') as string }]);
    expect(existsSync(join(target, 'big'))).toBe(false);
    expect(readFileSync(join(target, 'sub/one'), 'utf8')).toBe('one');
  });
});

describe('names that lead out of their folder', () => {
  /** A repository with a tree that an honest program would not write. */
  async function hostile(name: string): Promise<{ folder: ScratchFolder; repository: Repository; treeId: string }> {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const { engine, key } = repository;
    const time = '2026-01-01T00:00:00Z';
    const node = `{"name":${JSON.stringify(name)},"type":"file","mode":420,"mtime":"${time}","atime":"${time}","ctime":"${time}","uid":0,"gid":0,"content":[]}`;
    const tree = Buffer.from(`{"nodes":[${node}]}\n`);
    const builder = new PackBuilder({ engine, key, type: 'tree' });
    const uploader = new PackUploader(repository);
    builder.add(engine.sha256(tree), tree);
    await uploader.add(builder.finish());
    await uploader.flush();
    return { folder, repository, treeId: engine.sha256(tree).toString('hex') };
  }

  test.each(['..', '../up', '/etc/x', 'a/b', '.', '', 'zero\\x00'])(
    '%j is refused before anything is written',
    async (name) => {
      const { folder, repository, treeId } = await hostile(name);
      const target = join(folder.path, 'in/target');
      await expect(restoreTree(repository, { treeId, target })).rejects.toMatchObject({ code: 'RESTORE_PATH_UNSAFE' });
      expect(readdirSync(target)).toEqual([]);
      expect(readdirSync(join(folder.path, 'in'))).toEqual(['target']);
    },
  );
});

test('hard links in a session of several inputs stay links', async () => {
  const folder = await scratch();
  const repository = await folder.createRepository();
  const source = join(folder.path, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'a'), 'a');
  linkSync(join(source, 'a'), join(source, 'b'));
  await using session = await startArchive(repository);
  await session.addPath({ source, target: '/one' });
  const { snapshot } = await session.commit(commitOptions);
  const target = join(folder.path, 'target');
  await restoreTree(repository, { treeId: snapshot.tree, target });
  expect(statSync(join(target, 'one/a')).ino).toBe(statSync(join(target, 'one/b')).ino);
});
