// Puts a recovered data folder in the place of another one of the same file system, and can put it back, whatever moment it
// was cut off at. A data folder that is the root of a volume cannot be renamed: then what is in it is moved. Each step is a
// rename, and what is done is seen from the disk alone.

import { open, readdir, rename, rm, rmdir, stat, writeFile, mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemErrorCode } from '@varve/base';

export interface DataSwap {
  /** The place. */
  readonly current: string;
  readonly recovered: string;
  /** Where the old data is kept; beside the place, or in it where it is the root of a volume. */
  readonly old: string;
  /** entries: the place stays, what is in it is moved. */
  readonly how: 'rename' | 'entries';
}

/** In the folder of the old data: all of it is there, what is in the place is new. */
const movedMark = '.varve-moved';

/** Yields when the recovered data is in its place and all is durable. Undo it when it throws. */
export async function swapData(swap: DataSwap): Promise<void> {
  const { current, recovered, old, how } = swap;
  if (how === 'rename') {
    await move(current, old);
    await move(recovered, current);
    return;
  }
  await mkdir(old, { mode: 0o700 });
  await moveEntries(current, old);
  await writeFile(join(old, movedMark), '');
  await syncFolder(old);
  await moveEntries(recovered, current);
}

/** Puts the old data back; nothing when it is in its place. Idempotent, also when it was cut off itself. */
export async function undoSwap({ current, recovered, old, how }: DataSwap): Promise<void> {
  if (!(await isThere(old))) return;
  if (how === 'rename') {
    if (await isThere(current)) {
      await mkdir(dirname(recovered), { recursive: true, mode: 0o700 });
      await move(current, recovered);
    }
    await move(old, current);
    return;
  }
  if (await isThere(join(old, movedMark))) {
    await mkdir(recovered, { recursive: true, mode: 0o700 });
    await moveEntries(current, recovered);
    await rm(join(old, movedMark));
    await syncFolder(old);
  }
  await moveEntries(old, current);
  await rmdir(old);
}

/** Removes the old data, which nobody needs any more. */
export async function commitSwap({ old }: DataSwap): Promise<void> {
  await rm(old, { recursive: true, force: true });
}

/** What belongs to the volume, or to us, stays. */
function isData(name: string): boolean {
  return name !== 'lost+found' && !name.startsWith('.varve-');
}

async function moveEntries(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) {
    if (isData(name)) await rename(join(from, name), join(to, name));
  }
  await syncFolder(from);
  await syncFolder(to);
}

async function move(from: string, to: string): Promise<void> {
  await rename(from, to);
  for (const folder of new Set([dirname(from), dirname(to)])) await syncFolder(folder);
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Names of the folders for a place; `isRoot`: of a volume. */
export function swapFolders(
  current: string,
  options: { readonly id: string; readonly isRoot: boolean },
): { readonly work: string; readonly old: string; readonly how: DataSwap['how'] } {
  const { id, isRoot } = options;
  if (isRoot)
    return { work: join(current, `.varve-new-${id}`), old: join(current, `.varve-old-${id}`), how: 'entries' };
  const beside = (name: string): string => join(dirname(current), `${basename(current)}.varve-${name}-${id}`);
  return { work: beside('new'), old: beside('old'), how: 'rename' };
}
