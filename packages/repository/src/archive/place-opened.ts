// Places the entries of open folders one by one, so that other inputs can be placed beside them.

import { pathComponents } from '../filesystem/byte-path.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { TargetTree } from './target-tree.ts';

export interface OpenedFolders {
  /** Where the source is placed, and its own node. */
  readonly components: readonly Buffer[];
  readonly node: TreeNode;
  /** The trees of its open folders, by their path in the source (`''`, `/a`, a binary string). */
  readonly opened: ReadonlyMap<string, Buffer>;
}

export function placeOpened(target: TargetTree, { components, node, opened }: OpenedFolders): void {
  target.describe(components, node);
  for (const [below, tree] of opened) {
    const folder = [...components, ...pathComponents(Buffer.from(below, 'latin1'))];
    for (const entry of decodeTree(tree)) {
      const path = [...folder, entry.name];
      if (opened.has(`${below}/${entry.name.toString('latin1')}`)) target.describe(path, entry);
      else target.place(path, entry);
    }
  }
}
