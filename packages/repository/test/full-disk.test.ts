// A repository on a disk that gets full, for real: a small tmpfs. What was there stays whole, the error says what to do, and
// when there is room again the next run completes.

import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { backupPaths, checkRepository, createRepository, openRepository, runPrune } from '@varve/repository';
import { openStorage } from '@varve/storage';
import { expect, test } from 'vitest';
import { noise } from './odd-tree.ts';
import { password, quick } from './prune-lab.ts';
import { cheapKey, ScratchFolder } from './restic-oracle.ts';
import { find, type Found } from './snapshot-contents.ts';

const everything = { ...quick, maxUnused: { bytes: 0 }, workers: 0 } as const;

/** A small disk with a repository on it, in {@link ScratchFolder.repo}. */
class SmallDisk implements AsyncDisposable {
  readonly folder: ScratchFolder;

  private constructor(folder: ScratchFolder) {
    this.folder = folder;
  }

  /** Null where nothing can be mounted. */
  static async mount(sizeBytes: number): Promise<SmallDisk | null> {
    const folder = await ScratchFolder.create();
    mkdirSync(folder.repo);
    mkdirSync(join(folder.path, 'source'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', folder.repo], { stdio: 'ignore' });
    } catch {
      await folder[Symbol.asyncDispose]();
      return null;
    }
    await createRepository({ storage: openStorage(folder.repo), password, keyDerivation: cheapKey });
    return new SmallDisk(folder);
  }

  resize(sizeBytes: number): void {
    execFileSync('mount', ['-o', `remount,size=${sizeBytes}`, this.folder.repo]);
  }

  /** Uses up what is free, but for `leftBytes`. */
  fill(leftBytes: number): void {
    const path = join(this.folder.repo, 'filler');
    const file = openSync(path, 'w');
    try {
      for (;;) writeSync(file, Buffer.alloc(4096));
    } catch {
      // That was the last free page.
    } finally {
      closeSync(file);
    }
    truncateSync(path, statSync(path).size - leftBytes);
  }

  empty(): void {
    rmSync(join(this.folder.repo, 'filler'), { force: true });
  }

  write(version: string, names: readonly string[], sizeBytes: number): void {
    for (const name of names) writeFileSync(join(this.folder.path, 'source', name), noise(sizeBytes, name + version));
  }

  async backUp(): Promise<void> {
    const repository = await openRepository({ storage: this.folder.storage(), password });
    const paths = { paths: ['source'], cwd: this.folder.path, hostname: 'host', workers: 1, packSizeBytes: 200_000 };
    await backupPaths(repository, paths);
  }

  /** Both checks find nothing wrong, and no lock is left. Yields what is there. */
  async expectSound(): Promise<Found[]> {
    const repository = await openRepository({ storage: this.folder.storage(), password });
    const { errors } = await checkRepository(repository, { readData: true, workers: 0 });
    expect(errors).toEqual([]);
    expect(await repository.listFiles('lock')).toEqual([]);
    return find(repository);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    execFileSync('umount', [this.folder.repo]);
    await this.folder[Symbol.asyncDispose]();
  }
}

test('a backup to a disk that gets full says so, leaves what was there, and succeeds when there is room', async (context) => {
  await using disk = await SmallDisk.mount(3_000_000);
  if (!disk) return context.skip('mounting a small tmpfs needs root on Linux');
  disk.write('1', ['a', 'b'], 300_000);
  await disk.backUp();
  const before = await disk.expectSound();
  disk.write('2', ['c', 'd', 'e', 'f', 'g', 'h'], 500_000);
  await expect(disk.backUp()).rejects.toMatchObject({
    code: 'STORAGE_FULL',
    hint: expect.stringContaining('Free some space'),
  });
  expect(await disk.expectSound()).toEqual(before);
  disk.resize(10_000_000);
  await disk.backUp();
  const after = await disk.expectSound();
  expect(after).toHaveLength(2);
  expect(after.slice(0, 1)).toEqual(before);
});

test('a prune of a full disk changes nothing, and frees what it can as soon as there is room for an index', async (context) => {
  await using disk = await SmallDisk.mount(6_000_000);
  if (!disk) return context.skip('mounting a small tmpfs needs root on Linux');
  const names = ['a', 'b', 'c', 'd'];
  disk.write('1', names, 300_000);
  await disk.backUp();
  disk.write('2', names.slice(1), 300_000);
  await disk.backUp();
  const repository = await openRepository({ storage: disk.folder.storage(), password });
  const [first] = await repository.listSnapshots();
  await repository.removeSnapshots([first!.id]);
  const before = await disk.expectSound();

  disk.fill(0);
  await expect(runPrune(repository, everything)).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  expect(await disk.expectSound()).toEqual(before);

  disk.empty();
  disk.fill(150_000);
  const { packsRemoved } = await runPrune(repository, everything);
  expect(packsRemoved).toBeGreaterThan(0);
  expect(await disk.expectSound()).toEqual(before);

  disk.empty();
  await runPrune(repository, everything);
  expect(await disk.expectSound()).toEqual(before);
});
