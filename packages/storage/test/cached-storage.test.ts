import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeStorageContract, FakeClock, FaultyStorage, quickTemporaryFolder } from '@varve/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  CachedStorage,
  cacheRootOf,
  FileCache,
  listCaches,
  openCache,
  openStorage,
  type FileHandle,
  type FileType,
  type Storage,
} from '../src/index.ts';

const repositoryId = '12'.repeat(32);
const day = 24 * 60 * 60 * 1000;

/** A file named by the hash of its bytes. */
function fileOf(type: FileType, bytes: Uint8Array): FileHandle {
  return { type, name: createHash('sha256').update(bytes).digest('hex') };
}

/** Counts what is loaded and looked at from the storage itself. */
class CountingStorage extends FaultyStorage {
  loads = 0;

  override load(...call: Parameters<Storage['load']>): Promise<Uint8Array> {
    this.loads++;
    return super.load(...call);
  }
}

let folder: string;
let root: string;
let inner: CountingStorage;
let cache: FileCache;
let storage: CachedStorage;

beforeEach(async () => {
  folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-cache-'));
  root = join(folder, 'cache');
  const local = openStorage(join(folder, 'repository'));
  await local.create();
  inner = new CountingStorage(local);
  cache = await FileCache.open({ root, repositoryId });
  storage = new CachedStorage(inner, cache);
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const cachedFile = (handle: FileHandle): string =>
  join(cache.path, { index: 'index', snapshot: 'snapshots', pack: 'data' }[handle.type as 'index'], handle.name);

async function addFile(type: FileType, bytes: Uint8Array = randomBytes(1000)): Promise<FileHandle> {
  const handle = fileOf(type, bytes);
  await inner.save(handle, bytes);
  return handle;
}

describeStorageContract('a local folder with a cache', async () => {
  const place = await mkdtemp(join(quickTemporaryFolder(), 'varve-cache-'));
  const files = await FileCache.open({ root: join(place, 'cache'), repositoryId });
  const subject = new CachedStorage(openStorage(join(place, 'repository')), files);
  return { storage: subject, dispose: () => rm(place, { recursive: true }) };
});

describe('a cache', () => {
  test('keeps index and snapshot files that were loaded or saved, byte for byte, and nothing else', async () => {
    for (const type of ['index', 'snapshot'] as const) {
      const bytes = randomBytes(5000);
      const handle = await addFile(type, bytes);
      for (let call = 0; call < 3; call++) expect(Buffer.compare(await storage.load(handle), bytes)).toBe(0);
      expect(Buffer.compare(await storage.load(handle, { offset: 10, length: 7 }), bytes.subarray(10, 17))).toBe(0);
      expect(Buffer.compare(await readFile(cachedFile(handle)), bytes)).toBe(0);
      const saved = fileOf(type, randomBytes(1));
      await storage.save(saved, [Buffer.from('in '), Buffer.from('parts')]);
      expect(Buffer.from(await storage.load(saved)).toString()).toBe('in parts');
    }
    expect(inner.loads).toBe(2);
    for (const type of ['lock', 'key', 'pack'] as const) {
      const handle = await addFile(type);
      await storage.load(handle);
      await storage.load(handle);
    }
    expect(inner.loads).toBe(8);
    expect(await readdir(join(cache.path, 'data'))).toEqual([]);
  });

  test('keeps packs that are worth it, and fetches one whole and once, however many parts are wanted at once', async () => {
    const bytes = randomBytes(100_000);
    const pack = await addFile('pack', bytes);
    const offsets = Array.from({ length: 20 }, (_, number) => number * 5000);
    const parts = await Promise.all(offsets.map((offset) => storage.load(pack, { offset, length: 5000, keep: true })));
    expect(Buffer.compare(Buffer.concat(parts), bytes)).toBe(0);
    expect(inner.loads).toBe(1);
    await expect(storage.load(pack, { offset: 99_999, length: 2, keep: true })).rejects.toMatchObject({
      code: 'STORAGE_DAMAGED',
    });
    const saved = fileOf('pack', randomBytes(1));
    await storage.save(saved, randomBytes(50), { keep: true });
    expect(await readdir(join(cache.path, 'data'))).toHaveLength(2);
  });

  test('that was poisoned is read once, then replaced from the storage', async () => {
    const bytes = randomBytes(1000);
    const handle = await addFile('index', bytes);
    await storage.load(handle);
    await writeFile(cachedFile(handle), randomBytes(1000));
    expect(Buffer.compare(await storage.load(handle), bytes)).not.toBe(0);
    expect(Buffer.compare(await storage.load(handle, { fresh: true }), bytes)).toBe(0);
    expect(Buffer.compare(await readFile(cachedFile(handle)), bytes)).toBe(0);
  });

  test('forgets what is no longer in the repository, and the rests of processes that died', async () => {
    const [gone, kept] = [await addFile('snapshot'), await addFile('snapshot')];
    for (const handle of [gone, kept]) await storage.load(handle);
    const rest = `${cachedFile(kept)}-tmp-00`;
    await writeFile(rest, 'half');
    await writeFile(`${rest}1`, 'half');
    await utimes(rest, 0, 0);
    await inner.remove(gone);
    const listed: string[] = [];
    for await (const { name } of storage.list('snapshot')) listed.push(name);
    expect(listed).toEqual([kept.name]);
    expect((await readdir(join(cache.path, 'snapshots'))).sort()).toEqual([kept.name, `${kept.name}-tmp-001`].sort());
    await expect(storage.load(gone)).rejects.toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
    await storage.remove(kept);
    await expect(storage.load(kept)).rejects.toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
    await expect(storage.remove(kept)).rejects.toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
  });

  test('keeps everything while a list is broken off', async () => {
    const files = [await addFile('index'), await addFile('index')];
    for (const handle of files) await storage.load(handle);
    for await (const { name } of storage.list('index')) if (name !== '') break;
    expect(await readdir(join(cache.path, 'index'))).toHaveLength(2);
  });

  test('is shared by several at once: every load is whole, and no temporary file stays', async () => {
    const contents = Array.from({ length: 20 }, () => randomBytes(200_000));
    const handles = await Promise.all(contents.map((bytes) => addFile('index', bytes)));
    const others = await Promise.all(
      [1, 2, 3].map(async () => new CachedStorage(inner, await FileCache.open({ root, repositoryId }))),
    );
    await Promise.all(
      others.flatMap((other) =>
        handles.map(async (handle, number) => {
          const fresh = number % 3 === 0;
          expect(Buffer.compare(await other.load(handle, { fresh }), contents[number]!)).toBe(0);
        }),
      ),
    );
    expect((await readdir(join(cache.path, 'index'))).sort()).toEqual(handles.map(({ name }) => name).sort());
  });

  test('a caller is not cancelled by another that was fetching the same pack', async () => {
    const bytes = randomBytes(1000);
    const pack = await addFile('pack', bytes);
    const controller = new AbortController();
    const first = storage.load(pack, { keep: true, signal: controller.signal });
    const second = storage.load(pack, { keep: true, offset: 5, length: 5 });
    controller.abort();
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(Buffer.compare(await second, bytes.subarray(5, 10))).toBe(0);
  });
});

describe('the folder of a cache', () => {
  test('is private and tagged as a cache', async () => {
    const handle = await addFile('index');
    await storage.load(handle);
    for (const path of [root, cache.path, join(cache.path, 'index')])
      expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect((await stat(cachedFile(handle))).mode & 0o777).toBe(0o600);
    const tag = await readFile(join(root, 'CACHEDIR.TAG'), 'utf8');
    expect(tag.startsWith('Signature: 8a477f597d28d172789f06886806bc55')).toBe(true);
  });

  test('does not lead anywhere else: links are neither read, nor followed, nor accepted as folders', async () => {
    const handle = await addFile('index', Buffer.from('right'));
    const outside = join(folder, 'outside');
    await writeFile(outside, 'wrong');
    await symlink(outside, cachedFile(handle));
    expect(Buffer.from(await storage.load(handle)).toString()).toBe('right');
    expect(await readFile(outside, 'utf8')).toBe('wrong');
    expect(await readFile(cachedFile(handle), 'utf8')).toBe('right');

    const other = '34'.repeat(32);
    await mkdir(join(folder, 'elsewhere'), { mode: 0o700 });
    await symlink(join(folder, 'elsewhere'), join(root, other));
    await expect(FileCache.open({ root, repositoryId: other })).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    await chmod(root, 0o777);
    await expect(FileCache.open({ root, repositoryId })).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
  });

  test('that cannot be made is an error that says so', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(FileCache.open({ root: join(folder, 'file', 'cache'), repositoryId })).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      message: expect.stringContaining('ENOTDIR'),
    });
  });

  test('on a disk that is full or read-only is harmless', async (context) => {
    const mount = join(folder, 'disk');
    await mkdir(mount);
    const run = promisify(execFile);
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mount]).catch(() => null);
    if (!mounted) return context.skip('mounting a small tmpfs needs root on Linux');
    try {
      const place = { root: join(mount, 'cache'), repositoryId };
      const files = await FileCache.open(place);
      const small = await addFile('index');
      const large = await addFile('index', randomBytes(3_000_000));
      const first = new CachedStorage(inner, files);
      for (const handle of [small, large, large]) await first.load(handle);
      expect(await readdir(join(files.path, 'index'))).toEqual([small.name]);
      await run('mount', ['-o', 'remount,ro', mount]);
      const second = new CachedStorage(inner, await FileCache.open(place));
      const before = inner.loads;
      await second.load(small);
      expect(inner.loads).toBe(before);
      const other = await addFile('index');
      await second.load(other);
      for await (const { name } of second.list('index')) expect(name).toHaveLength(64);
      await second.remove(small);
    } finally {
      await run('umount', [mount]);
    }
  });

  test('is removed when nobody has opened it for 30 days', async () => {
    const clock = new FakeClock(new Date().toISOString());
    const other = '34'.repeat(32);
    await FileCache.open({ root, repositoryId: other, clock });
    await mkdir(join(root, 'not-a-cache'));
    await utimes(join(root, 'not-a-cache'), 0, 0);
    await utimes(cache.path, clock.now(), new Date(clock.now().getTime() - 29 * day));
    await FileCache.open({ root, repositoryId: other, clock });
    expect((await listCaches(root)).map((found) => found.repositoryId).sort()).toEqual([repositoryId, other]);
    await utimes(cache.path, clock.now(), new Date(clock.now().getTime() - 30 * day - 1000));
    await FileCache.open({ root, repositoryId: other, clock });
    expect((await readdir(root)).sort()).toEqual([other, 'CACHEDIR.TAG', 'not-a-cache']);
  });

  test('is named by the environment, and left out for folders of this machine', async () => {
    expect(cacheRootOf({ VARVE_CACHE_DIR: 'a', RESTIC_CACHE_DIR: '/b', HOME: '/h' }, '/cwd')).toBe('/cwd/a');
    expect(cacheRootOf({ RESTIC_CACHE_DIR: '/b', XDG_CACHE_HOME: '/x', HOME: '/h' }, '/cwd')).toBe('/b/varve');
    expect(cacheRootOf({ XDG_CACHE_HOME: '/x', HOME: '/h' }, '/cwd')).toBe('/x/varve');
    expect(cacheRootOf({ XDG_CACHE_HOME: 'relative', HOME: '/h' }, '/cwd')).toBe('/h/.cache/varve');
    expect(cacheRootOf({}, '/cwd')).toBe(null);
    const local = openStorage(join(folder, 'repository'));
    expect((await openCache({ storage: local, root, repositoryId })).storage).toBe(local);
    const remote = openStorage('rest:http://127.0.0.1:1/');
    expect((await openCache({ storage: remote, root, repositoryId })).storage).toBeInstanceOf(CachedStorage);
  });
});
