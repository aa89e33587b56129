// Reads snapshots without restoring them: lists, and contents of files.

import { AppError } from '@varve/base';
import type { Repository } from '../repository.ts';
import { printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { findIndexedNode, findTree, type SnapshotPath } from './find-node.ts';
import { TreeReader } from './tree-reader.ts';

export interface ListTreeOptions extends Omit<SnapshotPath, 'path'> {
  /** Folder to list; `/` when absent. */
  readonly path?: string | undefined;
  /** Everything below as well, folders before their content. */
  readonly recursive?: boolean | undefined;
}

export interface ListedNode {
  /** Absolute, printable path in the snapshot. */
  readonly path: string;
  readonly node: TreeNode;
}

/** The content of a folder in order of names. PATH_NOT_FOUND, REPOSITORY_DAMAGED. */
export async function* listTree(repository: Repository, options: ListTreeOptions): AsyncGenerator<ListedNode> {
  const { recursive = false, signal } = options;
  const path = options.path ?? '/';
  await repository.loadIndex({ signal });
  const treeId = await findTree(repository, { treeId: options.treeId, path, signal });
  const base = path.replace(/\/+$/, '');
  const trees = new TreeReader(repository, signal);
  const stack: ListedNode[] = [];
  const push = async (folder: string, id: string): Promise<void> => {
    const nodes = await trees.nodes(id);
    for (const node of nodes.reverse()) stack.push({ path: `${folder}/${printableName(node.name)}`, node });
  };
  await push(base, treeId);
  for (let top = stack.pop(); top; top = stack.pop()) {
    yield top;
    if (recursive && top.node.type === 'dir' && top.node.subtree) await push(top.path, top.node.subtree);
  }
}

/** The bytes of a file. PATH_NOT_FOUND when it is no file; REPOSITORY_DAMAGED when a part of it is lost. */
export async function* readFileContent(repository: Repository, options: SnapshotPath): AsyncGenerator<Uint8Array> {
  await repository.loadIndex({ signal: options.signal });
  const node = await findIndexedNode(repository, options);
  if (node.type !== 'file') throw new AppError('PATH_NOT_FOUND', `${options.path} is not a file in the snapshot.`);
  yield* readContent(repository, node, options.signal);
}

/** The bytes of a file node, the next chunk being loaded while one is used. */
export async function* readContent(
  repository: Repository,
  node: TreeNode,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const load = (id: string): Promise<Uint8Array> => {
    const blob = repository.loadBlob('data', id, { signal });
    // Thrown where it is awaited; the reader may stop before.
    blob.catch(() => {});
    return blob;
  };
  const ids = node.content ?? [];
  let size = 0;
  let next = ids[0] === undefined ? undefined : load(ids[0]);
  for (let i = 0; next; i++) {
    const bytes = await next;
    const following = ids[i + 1];
    next = following === undefined ? undefined : load(following);
    size += bytes.length;
    yield bytes;
  }
  if (size === node.size) return;
  const name = printableName(node.name);
  throw new AppError('REPOSITORY_DAMAGED', `The file ${name} has ${size} bytes, but its record says ${node.size}.`);
}
