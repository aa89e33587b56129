// Swapping a data folder, cut off at every step: what was there comes back, whole, whatever moment it was.

import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { commitSwap, swapData, swapFolders, undoSwap, type DataSwap } from '../src/recovery/data-swap.ts';

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

const names = ['PG_VERSION', 'base', 'global', 'pg_wal', 'postgresql.conf'];

async function fill(folder: string, content: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of names) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, 'file'), content);
  }
}

/** What the data folder has, without what belongs to the volume and to us. */
async function contents(folder: string): Promise<string[]> {
  const entries = (await readdir(folder)).filter((name) => !name.startsWith('.varve-') && name !== 'lost+found');
  const read = entries.map(async (name) => `${name}: ${await readFile(join(folder, name, 'file'), 'utf8')}`);
  return (await Promise.all(read)).toSorted();
}

const all = (content: string): string[] => names.map((name) => `${name}: ${content}`).toSorted();

async function prepare(isRoot: boolean): Promise<DataSwap & { readonly work: string }> {
  const root = await mkdtemp(join(tmpdir(), 'varve-swap-'));
  folders.push(root);
  const current = join(root, 'data');
  await fill(current, 'old');
  if (isRoot) await mkdir(join(current, 'lost+found'));
  const { work, old, how } = swapFolders(current, { id: 'abcd1234', isRoot });
  const recovered = join(work, 'data');
  await fill(recovered, 'new');
  return { current, recovered, old, how, work };
}

describe.each([{ isRoot: false }, { isRoot: true }])('a data folder, root of a volume: $isRoot', ({ isRoot }) => {
  test('is swapped, and swapped back', async () => {
    const swap = await prepare(isRoot);
    await undoSwap(swap);
    expect(await contents(swap.current)).toEqual(all('old'));
    await swapData(swap);
    expect(await contents(swap.current)).toEqual(all('new'));
    await undoSwap(swap);
    await undoSwap(swap);
    expect(await contents(swap.current)).toEqual(all('old'));
    expect(await contents(swap.recovered)).toEqual(all('new'));
    await swapData(swap);
    await commitSwap(swap);
    expect(await contents(swap.current)).toEqual(all('new'));
    expect((await readdir(swap.current)).includes('lost+found')).toBe(isRoot);
  });
});

describe('a swap that was cut off', () => {
  test('between the two renames of a folder', async () => {
    const swap = await prepare(false);
    await rename(swap.current, swap.old);
    await undoSwap(swap);
    expect(await contents(swap.current)).toEqual(all('old'));
  });

  test('after any number of moved entries, forth or back', async () => {
    // Old entries that are away, whether that was noted, new entries that are there.
    for (let moved = 0; moved <= names.length; moved++) {
      for (let arrived = 0; arrived <= (moved === names.length ? names.length : 0); arrived++) {
        const swap = await prepare(true);
        await mkdir(swap.old);
        for (const name of names.slice(0, moved)) await rename(join(swap.current, name), join(swap.old, name));
        if (arrived > 0) await writeFile(join(swap.old, '.varve-moved'), '');
        for (const name of names.slice(0, arrived)) await rename(join(swap.recovered, name), join(swap.current, name));
        await undoSwap(swap);
        expect(await contents(swap.current), `${moved} moved, ${arrived} arrived`).toEqual(all('old'));
        await undoSwap(swap);
        expect(await contents(swap.current)).toEqual(all('old'));
      }
    }
    // The undoing itself: new entries are partly away, then old ones partly back.
    for (let back = 0; back <= names.length; back++) {
      const swap = await prepare(true);
      await swapData(swap);
      for (const name of names) await rename(join(swap.current, name), join(swap.recovered, name));
      await rm(join(swap.old, '.varve-moved'));
      for (const name of names.slice(0, back)) await rename(join(swap.old, name), join(swap.current, name));
      await undoSwap(swap);
      expect(await contents(swap.current), `${back} back`).toEqual(all('old'));
    }
  });
});
