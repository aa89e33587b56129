// Whether a file has to be read again. Source: storage-format section 2.14.

import type { BigIntStats } from 'node:fs';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import { parseTime } from '../tree/go-time.ts';
import type { TreeNode } from '../tree/tree-node.ts';

/** `node` is what `stat` makes. True when the file has the size, times and inode that the parent snapshot noted, and all its chunks are still there. */
export function isUnchanged(
  parent: TreeNode,
  { stat, node, index }: { readonly stat: BigIntStats; readonly node: TreeNode; readonly index: BlobIndex },
): boolean {
  if (parent.type !== 'file' || parent.content === null || !stat.isFile()) return false;
  if (BigInt(parent.size) !== stat.size || parent.inode !== stat.ino) return false;
  // The texts are equal unless the zone changed.
  if (parent.mtime !== node.mtime && parseTime(parent.mtime) !== stat.mtimeNs) return false;
  if (parent.ctime !== node.ctime && parseTime(parent.ctime) !== stat.ctimeNs) return false;
  return parent.content.every((id) => index.has('data', id));
}
