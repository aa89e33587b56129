// The entries of an archive of a folder, or of a single file, in the order of names; shared by tar and zip.

import { joinPath, pathComponents } from '../filesystem/byte-path.ts';
import type { Repository } from '../repository.ts';
import { assertSafeName } from '../tree/node-name.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { findIndexedNode, type SnapshotPath } from './find-node.ts';
import { TreeReader } from './tree-reader.ts';

export interface ArchiveEntry {
  /** Relative, raw bytes, without a slash at the end. */
  readonly name: Buffer;
  readonly node: TreeNode;
}

export interface ArchiveOptions extends SnapshotPath {
  /** `full`: names as they are in the snapshot. `relative` when absent: names from the folder on. */
  readonly names?: 'relative' | 'full' | undefined;
}

/**
 * What is below a folder, or the single entry that `path` names. The folder itself is not among them. PATH_NOT_FOUND,
 * RESTORE_PATH_UNSAFE, REPOSITORY_DAMAGED.
 */
export async function* archiveEntries(
  repository: Repository,
  options: ArchiveOptions & { readonly node: TreeNode | undefined },
): AsyncGenerator<ArchiveEntry> {
  const { node, path, names = 'relative', signal } = options;
  const trees = new TreeReader(repository, signal);
  const components = pathComponents(Buffer.from(path));
  const full = components.reduce((folder, name) => join(folder, name), Buffer.alloc(0));
  const stack: ArchiveEntry[] = [];
  const push = async (folder: Buffer, treeId: string): Promise<void> => {
    const nodes = await trees.nodes(treeId);
    for (const child of nodes.reverse()) {
      assertSafeName(child.name, folder.toString() || '/');
      stack.push({ name: join(folder, child.name), node: child });
    }
  };
  if (node && node.type !== 'dir') {
    assertSafeName(node.name, path);
    stack.push({ name: names === 'full' ? full : node.name, node });
  } else await push(names === 'full' ? full : Buffer.alloc(0), node?.subtree ?? options.treeId);
  for (let top = stack.pop(); top; top = stack.pop()) {
    signal?.throwIfAborted();
    yield top;
    if (top.node.type === 'dir' && top.node.subtree !== undefined) await push(top.name, top.node.subtree);
  }
}

/** The node at the path of an archive; undefined for the root. The index has to be loaded. PATH_NOT_FOUND. */
export async function archiveRoot(repository: Repository, options: SnapshotPath): Promise<TreeNode | undefined> {
  const isRoot = pathComponents(Buffer.from(options.path)).length === 0;
  return isRoot ? undefined : findIndexedNode(repository, options);
}

function join(folder: Buffer, name: Buffer): Buffer {
  return folder.length === 0 ? name : joinPath(folder, name);
}
