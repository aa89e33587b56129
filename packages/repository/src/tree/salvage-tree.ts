// Reads tree blobs that {@link decodeTree} refuses as far as possible: entries in a wrong order are sorted, of several with one
// name the first counts, entries that cannot be read or whose names are not safe are left out.

import { messageOf } from '@varve/base';
import { decodeTree, decodeTreeEntries } from './decode-tree.ts';
import { goQuote } from './go-quote.ts';
import { isSafeName } from './node-name.ts';
import type { TreeNode } from './tree-node.ts';

export interface SalvagedTree {
  /** In strictly ascending order, with names that are safe. */
  readonly nodes: readonly TreeNode[];
  /** What is wrong with the tree, each for a person; nothing for almost every tree. */
  readonly problems: readonly string[];
}

/** REPOSITORY_DAMAGED when the bytes are not a list of entries at all. */
export function salvageTree(bytes: Uint8Array): SalvagedTree {
  const problems: string[] = [];
  const safe = (node: TreeNode): boolean => {
    if (isSafeName(node.name)) return true;
    problems.push(`the name "${goQuote(node.name)}" could lead out of its folder`);
    return false;
  };
  try {
    return { nodes: decodeTree(bytes).filter(safe), problems };
  } catch (error) {
    const { nodes, failures } = decodeTreeEntries(bytes);
    problems.push(...(failures.length > 0 ? failures : [messageOf(error)]));
    return { nodes: ordered(nodes.filter(safe)), problems };
  }
}

/** Sorted by name; of equal names the first. */
function ordered(nodes: readonly TreeNode[]): TreeNode[] {
  const sorted = nodes.toSorted((a, b) => Buffer.compare(a.name, b.name));
  return sorted.filter((node, i) => i === 0 || Buffer.compare(sorted[i - 1]?.name ?? node.name, node.name) !== 0);
}
