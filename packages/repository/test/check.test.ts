import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError } from '@varve/base';
import { checkRepository, parseDataSubset, type Repository } from '@varve/repository';
import { describe, expect, test, vi } from 'vitest';
import { choosePacks } from '../src/check/data-subset.ts';
import { encodeHeader } from '../src/pack/pack-header.ts';
import { ScratchFolder } from './restic-oracle.ts';
import {
  change,
  checkData,
  flipBit,
  idOf,
  makeSample,
  packPath,
  placeOf,
  storePack,
  treeBlob,
} from './small-repository.ts';

vi.setConfig({ testTimeout: 60_000 });

describe('a part of the data', () => {
  test('is a group, a percentage, or a size with a unit', () => {
    expect(parseDataSubset('1/1')).toEqual({ kind: 'part', part: 1, parts: 1 });
    expect(parseDataSubset('256/256')).toEqual({ kind: 'part', part: 256, parts: 256 });
    expect(parseDataSubset('2.5%')).toEqual({ kind: 'percent', percent: 2.5 });
    expect(parseDataSubset('100%')).toEqual({ kind: 'percent', percent: 100 });
    expect(parseDataSubset('50M')).toEqual({ kind: 'size', sizeBytes: 50 * 2 ** 20 });
    expect(parseDataSubset('7')).toEqual({ kind: 'size', sizeBytes: 7 });
    expect(parseDataSubset('1t')).toEqual({ kind: 'size', sizeBytes: 2 ** 40 });
  });

  test('is refused when it makes no sense', () => {
    for (const text of [
      '',
      '0/1',
      '2/1',
      '1/257',
      '0%',
      '100.1%',
      '-1%',
      '0',
      '0M',
      '5X',
      '1/2/3',
      'x/2',
      '1 / 2',
      '1.5G',
    ]) {
      try {
        parseDataSubset(text);
        expect.unreachable(text);
      } catch (error) {
        expect(isAppError(error, 'USAGE_INVALID'), text).toBe(true);
      }
    }
  });

  test('covers every pack once over all groups, and has the size that was asked for', () => {
    const stored = new Map(
      Array.from({ length: 512 }, (_, i) => [`${(i % 256).toString(16).padStart(2, '0')}${i}`, 1000]),
    );
    const groups = Array.from({ length: 7 }, (_, i) => choosePacks(stored, { kind: 'part', part: i + 1, parts: 7 }));
    expect(groups.reduce((sum, { size }) => sum + size, 0)).toBe(512);
    expect(new Set(groups.flatMap((group) => Array.from(group))).size).toBe(512);
    expect(choosePacks(stored, { kind: 'part', part: 4, parts: 256 })).toEqual(new Set(['033', '03259']));
    expect(choosePacks(stored, { kind: 'percent', percent: 25 }).size).toBe(128);
    expect(choosePacks(stored, { kind: 'percent', percent: 0.001 }).size).toBe(1);
    expect(choosePacks(stored, { kind: 'percent', percent: 100 }).size).toBe(512);
    expect(choosePacks(stored, { kind: 'size', sizeBytes: 51_200 }).size).toBe(51);
    expect(choosePacks(stored, { kind: 'size', sizeBytes: 1e12 }).size).toBe(512);
    expect(choosePacks(new Map(), { kind: 'size', sizeBytes: 1 }).size).toBe(0);
    const order = [...choosePacks(stored, { kind: 'percent', percent: 1 }, (below) => below - 1)];
    expect(order[0]).toBe('ff511');
  });

  test('is what a check reads', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, dataPack } = await makeSample(folder);
    await flipBit(packPath(folder, dataPack), 30);
    const first = Number.parseInt(dataPack.slice(0, 2), 16);
    const part = (n: number) => ({ kind: 'part', part: n, parts: 256 }) as const;
    const hit = await checkRepository(repository, { readDataSubset: part(first + 1) });
    expect(hit.brokenPacks).toEqual([dataPack]);
    expect(hit.bytesRead).toBeGreaterThan(0);
    const others = await repository.listFiles('pack');
    const free = Array.from({ length: 256 }, (_, i) => i).find(
      (byte) => !others.some(({ name }) => Number.parseInt(name.slice(0, 2), 16) === byte),
    );
    const miss = await checkRepository(repository, { readDataSubset: part((free ?? 0) + 1) });
    expect(miss).toMatchObject({ errorCount: 0, bytesRead: 0 });
    expect((await checkRepository(repository, { readDataSubset: { kind: 'percent', percent: 100 } })).errorCount).toBe(
      2,
    );
  });
});

describe('damage', () => {
  test('of a blob names exactly the files that hold it, in every snapshot, the newest first', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack, older, newer } = await makeSample(folder);
    await flipBit(packPath(folder, dataPack), placeOf(repository, 'data', contents.a2).offset + 20);
    const report = await checkData(folder);
    const reason = `1 of its 2 blobs is damaged or gone (${idOf(repository, contents.a2).slice(0, 10)})`;
    expect(report.affected).toEqual([
      { snapshotId: newer, path: '/a', type: 'file', reason },
      { snapshotId: older, path: '/a', type: 'file', reason },
    ]);
    expect(report).toMatchObject({
      affectedCount: 2,
      affectedSnapshots: [
        { snapshotId: newer, count: 1 },
        { snapshotId: older, count: 1 },
      ],
      brokenPacks: [dataPack],
      needsIndexRepair: false,
    });
  });

  test('of a file below folders, of one that only an old snapshot has, and of a folder is told by path', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack, subtreePack, older, newer } = await makeSample(folder);
    const pack = packPath(folder, dataPack);
    await flipBit(pack, placeOf(repository, 'data', contents.b).offset);
    await flipBit(pack, placeOf(repository, 'data', contents.c).offset);
    const paths = ({ affected }: Awaited<ReturnType<typeof checkData>>): string[] =>
      affected.map(({ snapshotId, path, type }) => `${snapshotId === newer ? 'newer' : 'older'} ${path} ${type}`);
    expect(paths(await checkData(folder))).toEqual(['newer /sub/c file', 'older /b file', 'older /sub/c file']);
    await rm(packPath(folder, subtreePack));
    const report = await checkData(folder);
    expect(paths(report)).toEqual(['newer /sub folder', 'older /b file', 'older /sub folder']);
    expect(report.affected[0]?.reason).toMatch(/cannot be read \(tree [0-9a-f]{10}\)/);
    expect(report.needsIndexRepair).toBe(true);
    expect(older).not.toBe(newer);
  });

  test('that a second copy makes good, or that no snapshot needs, affects nothing', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack } = await makeSample(folder);
    await storePack(repository, 'data', [contents.a1, contents.a2]);
    const unused = await storePack(repository, 'data', [Buffer.from('nobody needs this')]);
    await flipBit(packPath(folder, dataPack), placeOf(repository, 'data', contents.a1).offset + 20);
    await rm(packPath(folder, unused));
    const report = await checkData(folder);
    expect(report.errorCount).toBe(3);
    expect(report).toMatchObject({ affected: [], affectedCount: 0, affectedSnapshots: [] });
  });

  test('of a pack that was cut short affects what lay beyond its end, without reading data', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack } = await makeSample(folder);
    const { offset } = placeOf(repository, 'data', contents.c);
    await change(packPath(folder, dataPack), (bytes) => bytes.subarray(0, offset + 10));
    const report = await checkRepository(repository);
    expect(report.affected.map(({ path }) => path)).toEqual(['/sub/c', '/sub/c']);
    expect(report.brokenPacks).toEqual([dataPack]);
  });

  test('that the index causes is told apart, and the index is to be repaired', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSample(folder);
    const [first] = await repository.listFiles('index');
    await flipBit(join(folder.repo, 'index', first!.name), 40);
    const report = await checkData(folder);
    expect(report.errors[0]?.code).toBe('INDEX_DAMAGED');
    expect(report.needsIndexRepair).toBe(true);
    expect(report.affectedCount).toBeGreaterThan(0);
    expect(report.affected[0]?.reason).toMatch(/not in the index/);
  });
});

describe('a hostile or broken tree', () => {
  async function checkTree(folder: ScratchFolder, tree: Uint8Array) {
    const { repository } = await makeSample(folder);
    await storePack(repository, 'tree', [tree]);
    await repository.saveSnapshot({ time: '2026-03-02T03:04:05Z', tree: idOf(repository, tree), paths: ['/y'] });
    const { errors, affected } = await checkRepository(repository);
    return {
      codes: errors.map(({ code }) => code),
      affected: affected.map(({ path, reason }) => `${path}: ${reason}`),
    };
  }

  test('with a name that leads out of its folder is an error that names it', async () => {
    for (const name of ['..', '.', 'a/b', 'a\\x00b', '']) {
      await using folder = await ScratchFolder.create();
      const { codes, affected } = await checkTree(folder, treeBlob([{ name, content: [] }]));
      expect(codes).toEqual(['TREE_DAMAGED']);
      expect(affected).toEqual([expect.stringMatching(/^\/: the name ".*" could lead out of its folder$/)]);
    }
  });

  test('out of order, with duplicates, without a list, or too deep to be JSON is an error', async () => {
    const [a, b] = [
      { name: 'a', content: [] },
      { name: 'b', content: [] },
    ];
    const trees = [
      treeBlob([b, a]),
      treeBlob([a, a]),
      Buffer.from('{"nodes":{}}\n'),
      Buffer.from('nonsense'),
      Buffer.from('['.repeat(1_000_000)),
      treeBlob([{ name: 'd', type: 'dir', subtree: null }]),
    ];
    for (const tree of trees) {
      await using folder = await ScratchFolder.create();
      const { codes, affected } = await checkTree(folder, tree);
      expect(codes).toEqual(['TREE_DAMAGED']);
      expect(affected[0]).toMatch(/^\/: /);
    }
  });

  test('that is its own descendant a million times over ends, with exact counts', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, newer } = await makeSample(folder);
    const gone = 'ab'.repeat(32);
    let tree = treeBlob([{ name: 'lost', content: [gone], size: 1 }]);
    const blobs = [tree];
    for (let level = 0; level < 40; level++) {
      const subtree = idOf(repository, tree);
      tree = treeBlob([
        { name: 'x', type: 'dir', subtree },
        { name: 'y', type: 'dir', subtree },
      ]);
      blobs.push(tree);
    }
    await storePack(repository, 'tree', blobs);
    await repository.saveSnapshot({ time: '2026-03-02T03:04:05Z', tree: idOf(repository, tree), paths: ['/y'] });
    const report = await checkRepository(repository);
    expect(report.affectedCount).toBe(2 ** 40);
    expect(report.affected).toHaveLength(10_000);
    expect(report.affectedSnapshots).toHaveLength(1);
    expect(newer).not.toBe('');
  });

  test('nested ten thousand folders deep is walked', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSample(folder);
    let tree = treeBlob([{ name: 'lost', content: ['ab'.repeat(32)], size: 1 }]);
    const blobs = [tree];
    for (let level = 0; level < 10_000; level++) {
      tree = treeBlob([{ name: 'd', type: 'dir', subtree: idOf(repository, tree) }]);
      blobs.push(tree);
    }
    await storePack(repository, 'tree', blobs);
    await repository.saveSnapshot({ time: '2026-03-02T03:04:05Z', tree: idOf(repository, tree), paths: ['/y'] });
    const report = await checkRepository(repository);
    expect(report.affectedCount).toBe(1);
    expect(report.affected[0]?.path).toBe(`${'/d'.repeat(10_000)}/lost`);
  });
});

describe('a lock', () => {
  test('that cannot be read, is none, or is from the future is pointed out', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSample(folder);
    const save = (value: unknown): Promise<string> =>
      repository.saveUnpacked('lock', Buffer.from(JSON.stringify(value)));
    const now = new Date('2026-04-01T00:00:00Z');
    const noLock = await save({});
    const future = await save({ time: '2027-04-01T00:00:00Z', exclusive: true, hostname: 'h', username: 'u', pid: 1 });
    await save({ time: '2026-04-01T00:04:00Z', exclusive: false, hostname: 'h', username: 'u', pid: 1 });
    const damaged = '12'.repeat(32);
    await repository.storage.save({ type: 'lock', name: damaged }, Buffer.from('nonsense'));
    const { warnings, errorCount } = await checkRepository(repository, { clock: { now: () => now } });
    expect(errorCount).toBe(0);
    expect(warnings.map(({ code, id }) => `${code} ${id}`).sort()).toEqual(
      [`LOCK_IN_FUTURE ${future}`, `LOCK_UNREADABLE ${damaged}`, `LOCK_UNREADABLE ${noLock}`].sort(),
    );
  });
});

describe('a frame that expands to far more than it should', () => {
  const bombOf = (repository: Repository, bytes: number): Buffer => {
    const plaintext = Buffer.alloc(bytes);
    const frame = Buffer.alloc(bytes >> 4);
    return frame.subarray(0, repository.engine.createCompressor(3).compress(plaintext, frame));
  };

  test('is an error where it is a lock, a snapshot or an index file', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSample(folder);
    const save = async (type: 'lock' | 'snapshot', bytes: number): Promise<string> => {
      const file = repository.cipher.seal(Buffer.concat([Buffer.from([2]), bombOf(repository, bytes)]));
      const name = idOf(repository, file);
      await repository.storage.save({ type, name }, file);
      return name;
    };
    const lock = await save('lock', 2 ** 20 + 1);
    const snapshot = await save('snapshot', 2 ** 27 + 1);
    const { errors, warnings } = await checkRepository(repository);
    expect(warnings).toMatchObject([
      { code: 'LOCK_UNREADABLE', id: lock, message: expect.stringContaining('1.0 MiB') },
    ]);
    expect(errors).toMatchObject([{ code: 'SNAPSHOT_DAMAGED', id: snapshot, message: expect.stringContaining('128') }]);
  });

  test('is an error where it is a blob, whatever size the index claims', async () => {
    for (const claimed of [10, 2 ** 29 + 1, 2 ** 32 - 1]) {
      await using folder = await ScratchFolder.create();
      const { repository } = await makeSample(folder);
      const sealed = repository.cipher.seal(bombOf(repository, 2 ** 24));
      const id = 'ab'.repeat(32);
      const header = encodeHeader([
        { type: 'data', id, offset: 0, length: sealed.length, uncompressedLength: claimed },
      ]);
      const unit = repository.cipher.seal(header);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(unit.length);
      const pack = Buffer.concat([sealed, unit, length]);
      const packId = idOf(repository, pack);
      await repository.storage.save({ type: 'pack', name: packId }, pack);
      await repository.saveIndexFile([{ packId, header }]);
      const { errors } = await checkRepository(repository, { readData: true });
      expect(errors).toMatchObject([{ code: 'BLOB_DAMAGED', id, message: expect.stringContaining(String(claimed)) }]);
    }
  });
});
