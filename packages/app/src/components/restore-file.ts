// Writes single files of a snapshot back with what a service relies on: owner, mode and times.

import { chmod, chown, utimes, writeFile } from 'node:fs/promises';
import { findNode, readFileContent, type Repository } from '@varve/repository';
import { collectBytes } from './collect-bytes.ts';

/** Go's fs.FileMode bits beside the permissions. Source: Go, io/fs, FileMode. */
const goSetuid = 1 << 23;
const goSetgid = 1 << 22;
const goSticky = 1 << 20;

/** Writes one small file of a snapshot to `target`, with its owner, mode and times. PATH_NOT_FOUND. */
export async function restoreFile(
  repository: Repository,
  options: {
    readonly treeId: string;
    readonly path: string;
    readonly target: string;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const { treeId, path, target, signal } = options;
  const node = await findNode(repository, { treeId, path, signal });
  const bytes = await collectBytes(readFileContent(repository, { treeId, path, signal }));
  const mode = permissionsOf(node.mode);
  await writeFile(target, bytes, { mode: 0o600 });
  if (process.getuid?.() === 0) await chown(target, node.uid, node.gid);
  await chmod(target, mode);
  await utimes(target, new Date(node.atime), new Date(node.mtime));
}

/** Permission bits as chmod takes them. */
function permissionsOf(goMode: number): number {
  const extra = (goMode & goSetuid ? 0o4000 : 0) | (goMode & goSetgid ? 0o2000 : 0) | (goMode & goSticky ? 0o1000 : 0);
  return (goMode & 0o777) | extra;
}
