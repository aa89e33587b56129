import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import {
  backupPaths,
  checkRepository,
  createRepository,
  listTree,
  openRepository,
  runPrune,
  type Repository,
  type RepositoryCache,
} from '@varve/repository';
import { CachedStorage, FileCache, type Storage } from '@varve/storage';
import { FaultyStorage } from '@varve/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { quick } from './prune-lab.ts';
import { cheapKey, resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';

const password = new Secret(resticPassword);

/** Notes the type of every file that is loaded from the storage itself. */
class WatchedStorage extends FaultyStorage {
  readonly loaded: string[] = [];

  override load(...call: Parameters<Storage['load']>): Promise<Uint8Array> {
    this.loaded.push(call[0].type);
    return super.load(...call);
  }

  /** How many files of a type were loaded since the last question. */
  takeLoads(type: string): number {
    const count = this.loaded.filter((loaded) => loaded === type).length;
    this.loaded.length = 0;
    return count;
  }
}

let scratch: ScratchFolder;
let storage: WatchedStorage;
let cacheFolder: string;

beforeEach(async () => {
  scratch = await ScratchFolder.create();
  storage = new WatchedStorage(scratch.storage());
  await createRepository({ storage, password, keyDerivation: cheapKey });
  cacheFolder = '';
});
afterEach(() => scratch[Symbol.asyncDispose]());

/** Opens the repository as one that is far away, with a cache. */
async function open(): Promise<Repository> {
  const cache = async (repositoryId: string): Promise<RepositoryCache> => {
    const files = await FileCache.open({ root: join(scratch.path, 'cache'), repositoryId });
    cacheFolder = files.path;
    return { storage: new CachedStorage(storage, files), digests: files };
  };
  return openRepository({ storage, password, cache });
}

async function addSnapshots(repository: Repository, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let number = 0; number < count; number++) {
    const time = new Date(1.7e12 + number * 60_000).toISOString();
    const snapshot = { time, tree: 'ab'.repeat(32), paths: ['/srv', `/é${number}`], tags: ['a'], hostname: 'host' };
    ids.push((await repository.saveSnapshot(snapshot)).id);
  }
  return ids;
}

const idsOf = (snapshots: readonly { readonly id: string }[]): string[] => snapshots.map(({ id }) => id);

describe('opening a repository again', () => {
  test('loads no index file, snapshot or tree that it has seen', async () => {
    const source = join(scratch.path, 'source');
    await mkdir(join(source, 'folder'), { recursive: true });
    await writeFile(join(source, 'folder', 'file'), randomBytes(1000));
    const { snapshot } = await backupPaths(await open(), { hostname: 'host', paths: [source] });
    expect(snapshot).toBeDefined();
    for (const time of ['the first', 'the second']) {
      storage.takeLoads('');
      const repository = await open();
      const [found] = await repository.listSnapshots();
      await repository.loadIndex();
      const names: string[] = [];
      for await (const entry of listTree(repository, { treeId: found!.tree, recursive: true })) names.push(entry.path);
      expect(names.length).toBeGreaterThan(2);
      expect([time, storage.loaded.filter((type) => type !== 'config' && type !== 'key')]).toEqual([time, []]);
    }
    await rm(cacheFolder, { recursive: true });
    const repository = await open();
    await repository.listSnapshots();
    await repository.loadIndex();
    expect(storage.takeLoads('index')).toBeGreaterThan(0);
    const report = await checkRepository(repository, { readData: true });
    expect([report.errors, report.warnings]).toEqual([[], []]);
    if (resticMissing() === null)
      expect(await scratch.restic(['check', '--read-data'])).toContain('no errors were found');
  });

  test('is right although files of the cache were spoilt, and mends them', async () => {
    const source = join(scratch.path, 'source');
    await mkdir(source);
    await writeFile(join(source, 'file'), randomBytes(1000));
    const { snapshot } = await backupPaths(await open(), { hostname: 'host', paths: [source] });
    for (const folder of ['index', 'snapshots', 'data']) {
      const names = await readdir(join(cacheFolder, folder));
      expect(names.length).toBeGreaterThan(0);
      for (const [number, name] of names.entries()) {
        const path = join(cacheFolder, folder, name);
        const bytes = await readFile(path);
        bytes[Math.floor(bytes.length / 2)]! ^= 1;
        await writeFile(path, number % 2 === 0 ? bytes : bytes.subarray(0, 10));
      }
    }
    const repository = await open();
    const [found] = await repository.listSnapshots();
    expect(found).toEqual(snapshot);
    await repository.loadIndex();
    await repository.loadBlob('tree', found!.tree);
    const upstream = await readFile(join(scratch.repo, 'snapshots', found!.id));
    expect(Buffer.compare(await readFile(join(cacheFolder, 'snapshots', found!.id)), upstream)).toBe(0);
    storage.takeLoads('');
    const again = await open();
    await again.listSnapshots();
    await again.loadIndex();
    await again.loadBlob('tree', found!.tree);
    expect(storage.loaded.filter((type) => type !== 'config' && type !== 'key')).toEqual([]);
  });

  test('after somebody else pruned, a backup relies on nothing that is gone', async () => {
    const source = join(scratch.path, 'source');
    await mkdir(source);
    const backUp = async (repository: Repository): Promise<string> => {
      const { snapshot } = await backupPaths(repository, { hostname: 'host', paths: [source], workers: 1 });
      return snapshot.id;
    };
    for (const name of ['kept', 'gone']) await writeFile(join(source, name), randomBytes(100_000));
    const longOpen = await open();
    const first = await backUp(longOpen);
    const removed = await readFile(join(source, 'gone'));
    await rm(join(source, 'gone'));
    await backUp(await open());

    const elsewhere = await openRepository({ storage, password });
    await elsewhere.removeSnapshots([first]);
    const { packsRemoved } = await runPrune(elsewhere, { ...quick, maxUnused: { bytes: 0 } });
    expect(packsRemoved).toBeGreaterThan(0);

    // What was pruned comes back: the caches and the open repository still know where it was.
    await writeFile(join(source, 'gone'), removed);
    for (const repository of [await open(), longOpen]) {
      await backUp(repository);
      const { errors } = await checkRepository(await openRepository({ storage, password }), { readData: true });
      expect(errors).toEqual([]);
    }
    if (resticMissing() === null) expect(await scratch.restic(['check', '--read-data'])).toContain('no errors');
  });

  test('does not hide damage of the storage from a check', async () => {
    const repository = await open();
    const [id] = await addSnapshots(repository, 40);
    await (await open()).listSnapshots();
    const path = join(scratch.repo, 'snapshots', id!);
    await chmod(path, 0o600);
    await writeFile(path, 'rubbish');
    const report = await checkRepository(await open(), {});
    expect(report.errors.map((error) => error.id)).toContain(id);
  });
});

describe('the digest of snapshots', () => {
  /** Lists with a new object that has only the digest, not the cached files, and counts the files that it had to load. */
  async function listFresh(): Promise<{ ids: string[]; loads: number }> {
    await rm(join(cacheFolder, 'snapshots'), { recursive: true, force: true });
    storage.takeLoads('');
    const ids = idsOf(await (await open()).listSnapshots());
    return { ids, loads: storage.takeLoads('snapshot') };
  }

  test('spares reading the files one by one; what is new is read, what is gone is not listed', async () => {
    const ids = await addSnapshots(await open(), 100);
    const first = await open();
    const expected = await first.listSnapshots();
    expect(idsOf(expected)).toEqual(ids);
    expect(await listFresh()).toEqual({ ids, loads: 0 });
    expect(await (await open()).listSnapshots()).toEqual(expected);
    const outside = await openRepository({ storage: scratch.storage(), password });
    await outside.removeSnapshots([ids[3]!, ids[50]!]);
    const added = await outside.saveSnapshot({ time: '2040-01-01T00:00:00Z', tree: 'cd'.repeat(32), paths: ['/new'] });
    const now = [...ids.filter((_, number) => number !== 3 && number !== 50), added.id];
    expect(await listFresh()).toEqual({ ids: now, loads: 1 });
  });

  test('is written again when too many snapshots are missing in it', async () => {
    await addSnapshots(await open(), 50);
    await (await open()).listSnapshots();
    const ids = idsOf(await (await open()).listSnapshots());
    const more = await addSnapshots(await openRepository({ storage: scratch.storage(), password }), 3);
    expect((await listFresh()).loads).toBe(3);
    expect(await listFresh()).toEqual({ ids: expect.arrayContaining([...ids, ...more]), loads: 0 });
  });

  test('is not believed when it was spoilt, cut, or is another unit of the same repository', async () => {
    const ids = await addSnapshots(await open(), 40);
    const repository = await open();
    await repository.listSnapshots();
    const path = join(cacheFolder, 'digest-snapshots');
    const good = await readFile(path);
    const flipped = Buffer.from(good);
    flipped[good.length >> 1]! ^= 4;
    const forged = JSON.stringify({
      version: 1,
      snapshots: ids.map((id) => ({ id, time: 'x', tree: 'y', paths: [] })),
    });
    const bad = [flipped, good.subarray(0, 40), Buffer.alloc(0), randomBytes(500)];
    for (const bytes of [...bad, repository.cipher.seal(Buffer.from(forged))]) {
      await writeFile(path, bytes);
      expect(await listFresh()).toEqual({ ids, loads: 40 });
      expect(await listFresh()).toEqual({ ids, loads: 0 });
    }
  });

  test('serves two lists at the same time', async () => {
    const ids = await addSnapshots(await open(), 40);
    await (await open()).listSnapshots();
    storage.takeLoads('');
    const repository = await open();
    const lists = await Promise.all([1, 2, 3].map(() => repository.listSnapshots()));
    for (const list of lists) expect(idsOf(list)).toEqual(ids);
    expect(storage.takeLoads('snapshot')).toBe(0);
  });
});
