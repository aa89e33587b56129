import { execFileSync, spawnSync } from 'node:child_process';
import {
  createWriteStream,
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Secret } from '@varve/base';
import {
  backupPaths,
  collectStats,
  diffTrees,
  findNodes,
  FindPatterns,
  openRepository,
  streamZip,
  walkTree,
  type FindHit,
  type Repository,
  type Snapshot,
} from '@varve/repository';
import type { FileHandle, Storage } from '@varve/storage';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { goText } from '../src/tree/go-quote.ts';
import { centralHeader, dataDescriptor, endRecords, localHeader, type ZipEntry } from '../src/zip/zip-format.ts';
import { crc32, deflateRawSync } from 'node:zlib';
import { makeOddTree, noise } from './odd-tree.ts';
import { resticPassword, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 60_000 });

async function scratch(): Promise<ScratchFolder> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  return folder;
}

/** A storage that notes what is loaded. */
function counted(storage: Storage): { storage: Storage; packLoads: () => number } {
  let packLoads = 0;
  const handler: ProxyHandler<Storage> = {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (key === 'load' && (args[0] as FileHandle).type === 'pack') packLoads++;
        return Reflect.apply(value, target, args);
      };
    },
  };
  return { storage: new Proxy(storage, handler), packLoads: () => packLoads };
}

interface Saved {
  readonly folder: ScratchFolder;
  readonly repository: Repository;
  readonly source: string;
  readonly save: () => Promise<Snapshot>;
}

/** A repository, and a way to save the folder `source` into it. */
async function saving(fill: (source: string) => void): Promise<Saved> {
  const folder = await scratch();
  const repository = await folder.createRepository();
  const source = join(folder.path, 'source');
  mkdirSync(source);
  fill(source);
  const save = async (): Promise<Snapshot> => {
    const { snapshot } = await backupPaths(repository, { paths: ['source'], cwd: folder.path, hostname: 'host' });
    await repository.loadIndex();
    return snapshot;
  };
  return { folder, repository, source, save };
}

function fillFolders(source: string): void {
  for (let i = 0; i < 12; i++) {
    mkdirSync(join(source, `folder-${i}/inner`), { recursive: true });
    writeFileSync(join(source, `folder-${i}/inner/file`), `file ${i}`);
  }
  writeFileSync(join(source, 'plain'), 'plain');
}

const paths = (hits: readonly FindHit[]): string[] => hits.map(({ path }) => path);

describe('a walk', () => {
  test('yields every node in the order of names, each folder before its content', async () => {
    const { repository, save } = await saving(makeOddTree);
    const { tree: treeId } = await save();
    const steps = await Array.fromAsync(walkTree(repository, { treeId }));
    const shown = steps.filter((step) => step.kind === 'node').map((step) => step.path);
    expect(shown.slice(0, 2)).toEqual(['/source', '/source/<&>']);
    expect(shown.indexOf('/source/folder')).toBeLessThan(shown.indexOf('/source/folder/deeper/deepest/leaf'));
    expect(new Set(shown).size).toBe(shown.length);
    expect(steps.filter((step) => step.kind === 'leave').map(({ path }) => path)).toEqual([
      '/source/empty folder',
      '/source/folder/deeper/deepest',
      '/source/folder/deeper',
      '/source/folder',
      '/source',
    ]);
    const odd = steps.find((step) => step.path === '/source/bad\\xff\\xfename');
    expect(odd).toMatchObject({ jsonPath: '/source/bad\ufffd\ufffdname' });
  });

  test('says what cannot be read and goes on, or fails', async () => {
    const { repository, save } = await saving(fillFolders);
    const { tree: treeId } = await save();
    const steps = await Array.fromAsync(walkTree(repository, { treeId }));
    const lost = steps.find((step) => step.kind === 'node' && step.path === '/source/folder-3');
    const id = lost?.kind === 'node' ? lost.node.subtree : undefined;
    const original = repository.index.lookup.bind(repository.index);
    vi.spyOn(repository.index, 'lookup').mockImplementation((type, blob) =>
      blob === id ? undefined : original(type, blob),
    );
    vi.spyOn(repository.index, 'lookupAll').mockImplementation((type, blob) => {
      const found = blob === id ? undefined : original(type, blob);
      return found ? [found] : [];
    });
    await expect(Array.fromAsync(walkTree(repository, { treeId }))).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
    });
    const damaged: string[] = [];
    const onDamaged = ({ path }: { path: string }): void => void damaged.push(path);
    const rest = await Array.fromAsync(walkTree(repository, { treeId, onDamaged }));
    expect(damaged).toEqual(['/source/folder-3']);
    expect(rest).toHaveLength(steps.length - 3);
  });

  test('ends when it is cancelled', async () => {
    const { repository, save } = await saving(fillFolders);
    const { tree: treeId } = await save();
    const controller = new AbortController();
    const walk = walkTree(repository, { treeId, signal: controller.signal });
    await walk.next();
    controller.abort();
    await expect(Array.fromAsync(walk)).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('find', () => {
  test('reads what snapshots share once, and tells it for each', async () => {
    const { folder, source, save } = await saving(fillFolders);
    const snapshots = [await save()];
    for (let i = 0; i < 5; i++) {
      writeFileSync(join(source, 'plain'), `plain ${i}`);
      snapshots.push(await save());
    }
    const { storage, packLoads } = counted(folder.storage());
    const repository = await openRepository({ storage, password: new Secret(resticPassword) });
    await repository.loadIndex();
    const load = vi.spyOn(repository.index, 'lookup');
    const hits = await Array.fromAsync(findNodes(repository, { snapshots, patterns: new FindPatterns(['file']) }));
    expect(hits).toHaveLength(12 * 6);
    expect(paths(hits).slice(60)).toEqual(paths(hits).slice(0, 12));
    // The folders that all share (12, with one each in them), and root and source of each snapshot.
    expect(load.mock.calls.length).toBeLessThanOrEqual(24 + 2 * 6);
    expect(packLoads()).toBeLessThanOrEqual(2 * 6);
  });

  test('goes only where a path from the root can be', async () => {
    const { repository, save } = await saving(fillFolders);
    const snapshots = [await save()];
    const load = vi.spyOn(repository.index, 'lookup');
    const patterns = new FindPatterns(['/source/folder-1/*/f?le']);
    expect(paths(await Array.fromAsync(findNodes(repository, { snapshots, patterns })))).toEqual([
      '/source/folder-1/inner/file',
    ]);
    expect(load.mock.calls.length).toBe(4);
  });

  test.each([
    [['file'], '/a/file', true],
    [['file'], '/a/file/below', true],
    [['FILE'], '/a/file', false],
    [['a/file'], '/x/a/file', true],
    [['/a/file'], '/x/a/file', false],
    [['/a/**/file'], '/a/b/c/file', true],
    [['[ab]*'], '/b.txt', true],
    [['!x'], '/!x', true],
    [['!x'], '/y', false],
  ])('the patterns %j and the path %s', (patterns, path, isMatch) => {
    expect(new FindPatterns(patterns).matches(path)).toBe(isMatch);
  });

  test.each([
    [['/a/b'], '/a', true],
    [['/a/b'], '/x', false],
    [['/a/b'], '/a/b/c', true],
    [['/a/*/c', '/x'], '/a/y', true],
    [['/a', 'b'], '/x', true],
    [['/'], '/x', true],
    [['/a/../b'], '/x', true],
    [['/a/**/b'], '/a/x/y', true],
  ])('the patterns %j and what is below %s', (patterns, path, mayMatch) => {
    expect(new FindPatterns(patterns).mayMatchBelow(path)).toBe(mayMatch);
  });

  test('ignores case when told, and refuses patterns that are none', () => {
    expect(new FindPatterns(['*.TXT'], { ignoreCase: true }).matches('/A/b.Txt')).toBe(true);
    expect(() => new FindPatterns(['[a'])).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }) as Error);
  });
});

describe('diff', () => {
  test('does not look for changes in folders that are equal, and counts exactly', async () => {
    const { repository, source, save } = await saving(fillFolders);
    const before = await save();
    rmSync(join(source, 'folder-2'), { recursive: true });
    writeFileSync(join(source, 'folder-5/inner/new'), noise(5000, 'new'));
    // A blob that an equal folder has too is not new.
    writeFileSync(join(source, 'folder-5/inner/again'), 'file 7');
    const after = await save();
    const diff = diffTrees(repository, { before: before.tree, after: after.tree });
    const changes: string[] = [];
    let next = await diff.next();
    for (; !next.done; next = await diff.next()) changes.push(`${next.value.modifier} ${next.value.path}`);
    expect(changes).toEqual([
      '- /source/folder-2/',
      '- /source/folder-2/inner/',
      '- /source/folder-2/inner/file',
      '+ /source/folder-5/inner/again',
      '+ /source/folder-5/inner/new',
    ]);
    expect(next.value).toMatchObject({
      changedFiles: 0,
      added: { files: 2, dirs: 0, dataBlobs: 1, treeBlobs: 4 },
      removed: { files: 1, dirs: 2, dataBlobs: 1, treeBlobs: 6 },
    });
  });

  test('of a tree with itself is empty and reads nothing', async () => {
    const { repository, save } = await saving(fillFolders);
    const { tree } = await save();
    const load = vi.spyOn(repository.storage, 'load');
    const diff = diffTrees(repository, { before: tree, after: tree, metadata: true });
    expect(await diff.next()).toMatchObject({ done: true, value: { changedFiles: 0, added: { bytes: 0 } } });
    expect(load).not.toHaveBeenCalled();
  });
});

test('stats reads each tree once, however many snapshots share it', async () => {
  const { repository, source, save } = await saving(fillFolders);
  linkSync(join(source, 'plain'), join(source, 'folder-1/name of plain'));
  const first = await save();
  const load = vi.spyOn(repository.index, 'lookup');
  const one = await collectStats(repository, { snapshots: [first], mode: 'restore-size' });
  const reads = load.mock.calls.length;
  const many = await collectStats(repository, {
    snapshots: Array.from({ length: 50 }, () => first),
    mode: 'restore-size',
  });
  expect(load.mock.calls.length).toBe(2 * reads);
  expect(many).toMatchObject({ totalSize: one.totalSize * 50n, totalFileCount: one.totalFileCount * 50 });
});

describe('a zip', () => {
  const hasPython = spawnSync('python3', ['-c', 'import zipfile']).status === 0;
  const python = (script: string, ...args: string[]): unknown =>
    JSON.parse(execFileSync('python3', ['-c', `import json, sys, zipfile\n${script}`, ...args], { encoding: 'utf8' }));

  test.skipIf(!hasPython)('holds files, folders and links with modes and times', async () => {
    const { folder, repository, source, save } = await saving(makeOddTree);
    const { tree: treeId } = await save();
    const file = join(folder.path, 'odd.zip');
    await pipeline(streamZip(repository, { treeId, path: '/source' }), createWriteStream(file));
    expect(python('print(json.dumps(zipfile.ZipFile(sys.argv[1]).testzip()))', file)).toBeNull();
    const target = join(folder.path, 'unzipped');
    execFileSync('unzip', ['-Kq', '-d', target, file], { stdio: 'ignore' });
    expect(readFileSync(join(target, 'large')).equals(readFileSync(join(source, 'large')))).toBe(true);
    expect(readlinkSync(join(target, 'link'))).toBe('plain');
    expect(execFileSync('stat', ['-c', '%a %Y', join(target, 'plain')], { encoding: 'utf8' })).toBe('644 1600000000\n');
    expect(execFileSync('stat', ['-c', '%a', join(target, 'empty folder')], { encoding: 'utf8' })).toBe('1777\n');
  });

  const entry = (name: string, more: Partial<ZipEntry> = {}): ZipEntry => ({
    name: Buffer.from(name),
    mode: 0o100644,
    mtimeNs: 1_600_000_000_000_000_000n,
    isDeflated: false,
    isZip64: false,
    ...more,
  });

  test.skipIf(!hasPython)('has more entries than 16 bits can count', async () => {
    const { path } = await scratch();
    const [locals, centrals]: [Buffer[], Buffer[]] = [[], []];
    const nothing = { crc32: 0, compressedBytes: 0, sizeBytes: 0 };
    let offset = 0;
    for (let i = 0; i < 65_536; i++) {
      const local = localHeader(entry(`f${i}`), nothing);
      locals.push(local);
      centrals.push(centralHeader(entry(`f${i}`), nothing, offset));
      offset += local.length;
    }
    const sizeBytes = centrals.reduce((sum, { length }) => sum + length, 0);
    const end = endRecords({ entries: 65_536, offset, sizeBytes });
    writeFileSync(join(path, 'many.zip'), Buffer.concat([...locals, ...centrals, end]));
    expect(python('print(len(zipfile.ZipFile(sys.argv[1]).namelist()))', join(path, 'many.zip'))).toBe(65_536);
  });

  test.skipIf(!hasPython)('has sizes of 64 bits where they are asked for', async () => {
    const { path } = await scratch();
    const bytes = noise(1000, 'zip');
    const compressed = deflateRawSync(bytes);
    const content = { crc32: crc32(bytes), compressedBytes: compressed.length, sizeBytes: bytes.length };
    const large = entry('ä/large', { isDeflated: true, isZip64: true });
    const parts = [localHeader(large), compressed, dataDescriptor(large, content)];
    const offset = Buffer.concat(parts).length;
    const central = centralHeader(large, content, 0);
    const end = endRecords({ entries: 1, offset, sizeBytes: central.length });
    const file = join(path, '64.zip');
    writeFileSync(file, Buffer.concat([...parts, central, end]));
    const script = 'z = zipfile.ZipFile(sys.argv[1]); print(json.dumps([z.namelist(), len(z.read(z.namelist()[0]))]))';
    expect(python(script, file)).toEqual([['ä/large'], 1000]);
    expect(spawnSync('unzip', ['-tq', file]).status).toBe(0);
  });

  test('is read only as far as it is taken, and may be left', async () => {
    const {
      folder,
      repository: writer,
      save,
    } = await saving((source) => {
      for (let i = 0; i < 8; i++) writeFileSync(join(source, `f${i}`), noise(2_000_000, String(i)));
    });
    const { tree: treeId } = await save();
    await writer[Symbol.asyncDispose]();
    const { storage, packLoads } = counted(folder.storage());
    const repository = await openRepository({ storage, password: new Secret(resticPassword) });
    for await (const bytes of streamZip(repository, { treeId, path: '/source' })) {
      if (bytes.length > 1000) break;
    }
    expect(packLoads()).toBeLessThan(8);
  });

  test('of a single file has its name, and a damaged one fails', async () => {
    const { folder, repository, save } = await saving((source) => {
      writeFileSync(join(source, 'one'), noise(3000, 'one'));
      symlinkSync('one', join(source, 'link'));
    });
    const { tree: treeId } = await save();
    const file = join(folder.path, 'one.zip');
    await pipeline(streamZip(repository, { treeId, path: '/source/one', names: 'full' }), createWriteStream(file));
    expect(execFileSync('unzip', ['-Z1', file], { encoding: 'utf8' })).toBe('source/one\n');
    vi.spyOn(repository, 'loadBlob').mockResolvedValueOnce(Buffer.from('short'));
    const damaged = Array.fromAsync(streamZip(repository, { treeId, path: '/source/one' }));
    await expect(damaged).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    const missing = Array.fromAsync(streamZip(repository, { treeId, path: '/none' }));
    await expect(missing).rejects.toMatchObject({ code: 'PATH_NOT_FOUND' });
  });
});

test.each([
  ['plain', 'plain'],
  ['\xff\xfe', '\ufffd\ufffd'],
  // Go replaces each byte of a sequence that is cut off.
  ['a\xe2\x82b', 'a\ufffd\ufffdb'],
  ['\xf0\x9f\x98\x80', '😀'],
])('bytes %j are shown in JSON as %j', (bytes, text) => {
  expect(goText(Buffer.from(bytes, 'latin1'))).toBe(text);
});
