import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeStorageContract, FaultyStorage } from '@varve/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openStorage } from '../src/index.ts';

async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'varve-storage-'));
}

/** A tmpfs of 2 MiB at `folder`, or null where mounting is not possible. */
async function mountSmallDisk(
  folder: string,
): Promise<(AsyncDisposable & { remount(option: string): Promise<void> }) | null> {
  const run = promisify(execFile);
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder]);
  } catch {
    return null;
  }
  return {
    remount: async (option) => void (await run('mount', ['-o', `remount,${option}`, folder])),
    [Symbol.asyncDispose]: async () => void (await run('umount', [folder])),
  };
}

describeStorageContract('a local folder', async () => {
  const folder = await temporaryFolder();
  return { storage: openStorage(join(folder, 'repo')), dispose: () => rm(folder, { recursive: true }) };
});

describeStorageContract('a local folder behind a wrapper', async () => {
  const folder = await temporaryFolder();
  const storage = new FaultyStorage(openStorage(`local:${join(folder, 'a', 'b')}`));
  return { storage, dispose: () => rm(folder, { recursive: true }) };
});

describe('a local folder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  const name = 'ab'.repeat(32);

  test('has the layout of restic: 256 folders below data, packs by their first two digits, private and read-only', async () => {
    const storage = openStorage(folder);
    await storage.create();
    expect((await readdir(folder)).sort()).toEqual(['data', 'index', 'keys', 'locks', 'snapshots']);
    expect(await readdir(join(folder, 'data'))).toHaveLength(256);
    await storage.save({ type: 'pack', name }, Buffer.from('x'));
    const facts = await stat(join(folder, 'data', 'ab', name));
    expect(facts.mode & 0o777).toBe(0o400);
    expect((await stat(join(folder, 'data'))).mode & 0o777).toBe(0o700);
  });

  test('lets the group read when the group may read the config', async () => {
    await openStorage(folder).create();
    await writeFile(join(folder, 'config'), 'x', { mode: 0o640 });
    await chmod(join(folder, 'config'), 0o640);
    const storage = openStorage(folder);
    await storage.save({ type: 'index', name }, Buffer.from('x'));
    expect((await stat(join(folder, 'index', name))).mode & 0o777).toBe(0o440);
  });

  test('leaves no temporary file behind, whether a save succeeds or fails', async () => {
    const storage = openStorage(folder);
    await storage.create();
    await storage.save({ type: 'index', name }, Buffer.from('x'));
    await expect(storage.save({ type: 'index', name }, Buffer.from('y'))).rejects.toMatchObject({
      code: 'STORAGE_FILE_EXISTS',
    });
    expect(await readdir(join(folder, 'index'))).toEqual([name]);
  });

  test('never lists temporary files, folders or foreign names, and removes only old temporary files', async () => {
    const storage = openStorage(folder);
    await storage.create();
    const [old, young] = [`${name}-tmp-0123`, `${name}-tmp-4567`];
    for (const entry of [old, young, 'README', name.toUpperCase(), name.slice(1)])
      await writeFile(join(folder, 'index', entry), 'x');
    await mkdir(join(folder, 'index', 'cd'.repeat(32)));
    const yesterday = new Date(Date.now() - 25 * 3600 * 1000);
    await utimes(join(folder, 'index', old), yesterday, yesterday);
    await utimes(join(folder, 'index', 'README'), yesterday, yesterday);
    expect(await Array.fromAsync(storage.list('index'))).toEqual([]);
    await storage.create();
    const left = await readdir(join(folder, 'index'));
    expect(left).not.toContain(old);
    expect(left).toContain(young);
    expect(left).toContain('README');
  });

  test('makes a folder of the layout that is missing, but not the repository itself', async () => {
    await openStorage(folder).save({ type: 'pack', name }, Buffer.from('x'));
    expect(await readdir(join(folder, 'data', 'ab'))).toEqual([name]);
    const missing = openStorage(join(folder, 'missing'));
    await expect(missing.save({ type: 'pack', name }, Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORAGE_FILE_NOT_FOUND',
    });
  });

  test('says that a full disk is full, and keeps what was there', async (context) => {
    await using disk = await mountSmallDisk(folder);
    if (!disk) return context.skip('mounting a small tmpfs needs root on Linux');
    const storage = openStorage(folder);
    await storage.create();
    await storage.save({ type: 'index', name }, Buffer.from('kept'));
    const large = Buffer.alloc(4 * 1024 * 1024, 1);
    await expect(storage.save({ type: 'pack', name }, large)).rejects.toMatchObject({
      code: 'STORAGE_FULL',
      hint: expect.stringContaining('Free some space'),
    });
    expect(await Array.fromAsync(storage.list('pack'))).toEqual([]);
    expect(await readdir(join(folder, 'data', 'ab'))).toEqual([]);
    expect(Buffer.from(await storage.load({ type: 'index', name })).toString()).toBe('kept');
    await disk.remount('ro');
    await expect(storage.save({ type: 'lock', name }, Buffer.from('x'))).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
    });
    await expect(storage.remove({ type: 'index', name })).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    await expect(openStorage(join(folder, 'other/place')).create()).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      message: expect.stringContaining('read-only'),
    });
  });

  test('a location that is a file is invalid', async () => {
    await writeFile(join(folder, 'file'), 'x');
    await expect(openStorage(join(folder, 'file')).load({ type: 'config', name: '' })).rejects.toMatchObject({
      code: 'STORAGE_LOCATION_INVALID',
    });
    await expect(openStorage(join(folder, 'file')).create()).rejects.toMatchObject({
      code: 'STORAGE_LOCATION_INVALID',
    });
  });

  test('a folder without permission is denied', async (context) => {
    if (process.getuid?.() === 0) return context.skip('root may write everywhere');
    await chmod(folder, 0o500);
    await expect(openStorage(join(folder, 'repo')).create()).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    await chmod(folder, 0o700);
  });
});

describe('a location', () => {
  test('is an absolute path, a relative path, or one after local:', () => {
    expect(openStorage('/srv/backup').location).toBe('/srv/backup');
    expect(openStorage('local:/srv/backup').location).toBe('/srv/backup');
    expect(openStorage('backup', { workingFolder: '/srv' }).location).toBe('/srv/backup');
    expect(openStorage('./a:b', { workingFolder: '/srv' }).location).toBe('/srv/a:b');
    expect(openStorage('/srv/../etc/a:b').location).toBe('/etc/a:b');
  });

  test('of a kind that is not supported is refused by name, without its password', () => {
    for (const location of ['foo:bar', 'foo:https://me:geheim@host/']) {
      expect(() => openStorage(location)).toThrow(expect.objectContaining({ code: 'STORAGE_LOCATION_INVALID' }));
    }
    expect(() => openStorage('foo:https://me:geheim@host/')).not.toThrow(/geheim/);
  });

  test('that is empty is refused', () => {
    for (const location of ['', '  ', 'local:', 'a\0b']) {
      expect(() => openStorage(location)).toThrow(expect.objectContaining({ code: 'STORAGE_LOCATION_INVALID' }));
    }
  });
});
