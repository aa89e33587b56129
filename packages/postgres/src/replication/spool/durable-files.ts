// Small files that are there whole or not at all, also after a power cut: temporary name, write, fsync, rename, fsync of the
// folder.

import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes renames and deletions in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

/** Replaces the content of a file. The folder is synced when `syncFolder` is left true. */
export async function writeDurably(
  path: string,
  content: Uint8Array | string,
  options: { readonly syncFolder?: boolean } = {},
): Promise<void> {
  const temporary = `${path}.tmp`;
  {
    await using handle = await open(temporary, 'w', 0o600);
    await handle.writeFile(content);
    await handle.sync();
  }
  await rename(temporary, path);
  if (options.syncFolder ?? true) await syncFolder(dirname(path));
}
