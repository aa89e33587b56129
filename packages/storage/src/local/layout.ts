// The layout of a repository in a folder (restic design.rst, "Repository Layout"): config, data/<2 hex>/<id>, keys, locks,
// snapshots, index.

import { join } from 'node:path';
import type { FileHandle, FileType } from '../contract.ts';
import { folders, isFileName } from '../file-names.ts';

const leftoverName = /^(?:config|[0-9a-f]{64})-tmp-/;

/** Whether a folder entry is a temporary file, ours or restic's. */
export function isLeftoverName(name: string): boolean {
  return leftoverName.test(name);
}

/** The path of a file below `root`, or null when the handle's name is not one. */
export function pathOf(root: string, { type, name }: FileHandle): string | null {
  if (type === 'config') return name === '' ? join(root, 'config') : null;
  if (!isFileName(name)) return null;
  return type === 'pack' ? join(root, 'data', name.slice(0, 2), name) : join(root, folders[type], name);
}

/** The folders that hold files of a type. */
export function foldersOf(root: string, type: FileType): string[] {
  if (type === 'config') return [root];
  if (type !== 'pack') return [join(root, folders[type])];
  return Array.from({ length: 256 }, (_, byte) => join(root, 'data', byte.toString(16).padStart(2, '0')));
}

/** Every folder of a repository, parents first. */
export function allFolders(root: string): string[] {
  const flat = Object.values(folders).map((folder) => join(root, folder));
  return [root, ...flat, ...foldersOf(root, 'pack')];
}
