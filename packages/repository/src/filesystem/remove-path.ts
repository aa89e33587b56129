// Removes anything, folders with all below them, by raw byte paths and without following links or recursing.

import { lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { joinPath } from './byte-path.ts';

export interface RemoveOptions {
  /** Remove nothing, only tell. */
  readonly dryRun?: boolean | undefined;
  /** What is kept, and the folders that it is in; asked for what is below `path`, with the names on the way there. */
  readonly keeps?: ((names: readonly Buffer[]) => boolean) | undefined;
  /** Told of each object: what is in a folder before the folder. */
  readonly onRemoved?: ((path: Buffer) => void) | undefined;
}

interface OpenFolder {
  readonly path: Buffer;
  readonly names: readonly Buffer[];
  readonly parent: OpenFolder | undefined;
  isKept: boolean;
}

/** Yields how many objects were removed. Throws the system's error. */
export function removePath(path: Buffer, options: RemoveOptions = {}): number {
  const { dryRun, keeps, onRemoved } = options;
  let removed = 0;
  const remove = (target: Buffer, isFolder: boolean): void => {
    if (!dryRun && isFolder) rmdirSync(target);
    else if (!dryRun) unlinkSync(target);
    removed++;
    onRemoved?.(target);
  };
  if (!lstatSync(path).isDirectory()) {
    remove(path, false);
    return removed;
  }
  const folders: OpenFolder[] = [{ path, names: [], parent: undefined, isKept: false }];
  const listed: OpenFolder[] = [];
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    listed.push(folder);
    for (const entry of readdirSync(folder.path, { withFileTypes: true, encoding: 'buffer' })) {
      const names = [...folder.names, entry.name];
      if (keeps?.(names)) folder.isKept = true;
      else if (entry.isDirectory()) {
        folders.push({ path: joinPath(folder.path, entry.name), names, parent: folder, isKept: false });
      } else remove(joinPath(folder.path, entry.name), false);
    }
  }
  // A folder was listed before those inside it.
  for (const folder of listed.reverse()) {
    if (!folder.isKept) remove(folder.path, true);
    else if (folder.parent) folder.parent.isKept = true;
  }
  return removed;
}
