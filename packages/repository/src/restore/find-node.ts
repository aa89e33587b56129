// Finds nodes of a snapshot by their path.

import { AppError, isAppError } from '@varve/base';
import { pathComponents } from '../filesystem/byte-path.ts';
import type { Repository } from '../repository.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';

/** Where in a snapshot: `path` is absolute, `/` its root. Names that are not UTF-8 are written as they are shown. */
export interface SnapshotPath {
  readonly treeId: string;
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}

/** The node at a path; undefined when there is none or the way to it cannot be read. For comparing, not for restoring. */
export async function findNodeByPath(
  repository: Repository,
  options: { readonly treeId: string; readonly components: readonly Buffer[]; readonly signal?: AbortSignal },
): Promise<TreeNode | undefined> {
  const { components, signal } = options;
  let treeId: string | undefined = options.treeId;
  let node: TreeNode | undefined;
  try {
    for (const name of components) {
      if (treeId === undefined) return undefined;
      const nodes = decodeTree(await repository.loadBlob('tree', treeId, { signal }));
      node = nodes.find((candidate) => candidate.name.equals(name));
      treeId = node?.type === 'dir' ? node.subtree : undefined;
      if (!node) return undefined;
    }
    return node;
  } catch (error) {
    if (isAppError(error, 'REPOSITORY_DAMAGED')) return undefined;
    throw error;
  }
}

/** The node at a path that is not the root. PATH_NOT_FOUND; REPOSITORY_DAMAGED when the way to it cannot be read. */
export async function findNode(repository: Repository, options: SnapshotPath): Promise<TreeNode> {
  await repository.loadIndex({ signal: options.signal });
  return findIndexedNode(repository, options);
}

/** As {@link findNode}, in an index that was read already. */
export async function findIndexedNode(repository: Repository, options: SnapshotPath): Promise<TreeNode> {
  const components = pathComponents(Buffer.from(options.path));
  let treeId: string | undefined = options.treeId;
  let node: TreeNode | undefined;
  for (const wanted of components) {
    const nodes: TreeNode[] = treeId === undefined ? [] : await loadTree(repository, treeId, options.signal);
    const shown = wanted.toString();
    node = nodes.find(({ name }) => name.equals(wanted)) ?? nodes.find(({ name }) => printableName(name) === shown);
    if (!node) {
      throw new AppError('PATH_NOT_FOUND', `The snapshot holds no ${options.path}.`, {
        hint: 'List the snapshot to see what it holds.',
        context: { path: options.path },
      });
    }
    treeId = node.type === 'dir' ? node.subtree : undefined;
  }
  if (!node) throw new AppError('PATH_NOT_FOUND', 'The root of a snapshot has no node of its own.');
  return node;
}

/** The id of the tree of the folder at a path. PATH_NOT_FOUND when there is none or it is no folder. */
export async function findTree(repository: Repository, options: SnapshotPath): Promise<string> {
  if (pathComponents(Buffer.from(options.path)).length === 0) return options.treeId;
  const node = await findIndexedNode(repository, options);
  if (node.type !== 'dir' || node.subtree === undefined) {
    throw new AppError('PATH_NOT_FOUND', `${options.path} is not a folder in the snapshot.`);
  }
  return node.subtree;
}

/** The nodes of a tree. REPOSITORY_DAMAGED. */
async function loadTree(repository: Repository, treeId: string, signal: AbortSignal | undefined): Promise<TreeNode[]> {
  return decodeTree(await repository.loadBlob('tree', treeId, { signal }));
}
