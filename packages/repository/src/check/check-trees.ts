// Checks the trees of all snapshots, each tree once: every tree has to be readable, and every blob that a file refers to has to
// be in the index.

import { messageOf } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import { BlobIndex } from '../blob-index/blob-index.ts';
import type { Repository } from '../repository.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { isSafeName } from '../tree/node-name.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { TreeLinks } from '../tree/tree-links.ts';
import { walkTrees } from '../tree/walk-trees.ts';
import type { Findings } from './findings.ts';

export interface TreeCheck {
  readonly repository: Repository;
  readonly index: BlobIndex;
  readonly findings: Findings;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of trees read so far. */
  readonly onTrees?: ((trees: number) => void) | undefined;
}

/** Yields how many different blobs, trees included, the snapshots refer to. */
export async function checkTrees(snapshots: readonly Snapshot[], check: TreeCheck): Promise<number> {
  const { repository, index, findings, signal, onTrees } = check;
  // A compact set: 36 bytes a blob instead of a string. Blobs that are not in the index are in it too.
  const seen = new BlobClaims(new BlobIndex());
  let trees = 0;
  const enter = (id: string): number => {
    if (!seen.claim('tree', Buffer.from(id, 'hex'))) return -1;
    const entry = index.entryOf('tree', id);
    if (entry < 0) findings.error('TREE_MISSING', id, `The tree ${id}, a folder of a snapshot, is not in the index.`);
    return entry;
  };
  const visit = (entry: number, tree: TreeLinks): void => {
    trees++;
    onTrees?.(trees);
    const missing = new Set<string>();
    for (const id of tree.data) {
      if (seen.claim('data', Buffer.from(id, 'hex')) && !index.has('data', id)) missing.add(id);
    }
    if (!tree.isRegular || missing.size > 0) {
      checkNodes(tree.nodes(), { treeId: index.blobAt(entry).id, missing, findings });
    }
  };
  const fail = (entry: number, error: unknown): void => {
    const { id } = index.blobAt(entry);
    const message = `The tree ${id}, a folder of a snapshot, cannot be read: ${messageOf(error)}`;
    findings.error('TREE_DAMAGED', id, message);
  };
  const roots = snapshots.map(({ tree }) => tree);
  await walkTrees(roots, { repository, index, visitor: { enter, visit, fail }, fresh: true, signal });
  return seen.size;
}

/** Tells what is wrong with each entry, and the first file that needs each of the `missing` blobs. */
function checkNodes(
  nodes: readonly TreeNode[],
  check: { readonly treeId: string; readonly missing: Set<string>; readonly findings: Findings },
): void {
  const { treeId, missing, findings } = check;
  for (const node of nodes) {
    const name = (): string => JSON.stringify(node.name.toString('utf8'));
    if (!isSafeName(node.name)) {
      findings.error('TREE_DAMAGED', treeId, `The name ${name()} in tree ${treeId} could lead out of its folder.`);
    }
    if (node.type === 'dir' && node.subtree === undefined) {
      findings.error('TREE_DAMAGED', treeId, `The folder ${name()} in tree ${treeId} has no content.`);
    }
    if (node.type === 'file' && node.content === null) {
      findings.error('TREE_DAMAGED', treeId, `The file ${name()} in tree ${treeId} has no list of its content.`);
    }
    for (const id of node.content ?? []) {
      if (!missing.delete(id)) continue;
      const message = `The data blob ${id} of the file ${name()} in tree ${treeId} is not in the index.`;
      findings.error('BLOB_MISSING', id, message);
    }
  }
}
