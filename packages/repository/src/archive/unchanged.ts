// Whether a file has to be read again. Source: storage-format section 2.14.

import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { FileFacts } from '../filesystem/folder-listing.ts';
import { parseTime } from '../tree/go-time.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { Comparison, Notice } from './worker-protocol.ts';

export interface CompareOptions {
  readonly stat: FileFacts;
  /** What `stat` makes. */
  readonly node: TreeNode;
  readonly index: BlobIndex;
  readonly comparison: Comparison;
}

/**
 * `unchanged`: the parent snapshot noted the same type, size, time of change, inode (unless they are ignored) and all chunks
 * are in the index. `incomplete`: the facts are the same, but chunks are missing.
 */
export function compareWithParent(
  parent: TreeNode,
  { stat, node, index, comparison }: CompareOptions,
): 'unchanged' | 'changed' | 'incomplete' {
  if (parent.type !== 'file' || parent.content === null || !stat.isFile()) return 'changed';
  if (BigInt(parent.size) !== stat.size) return 'changed';
  // The texts are equal unless the zone changed.
  if (parent.mtime !== node.mtime && parseTime(parent.mtime) !== stat.mtimeNs) return 'changed';
  const { ignoreCtime, ignoreInode } = comparison;
  if (!ignoreCtime && parent.ctime !== node.ctime && parseTime(parent.ctime) !== stat.ctimeNs) return 'changed';
  if (!ignoreInode && parent.inode !== stat.ino) return 'changed';
  return parent.content.every((id) => index.has('data', id)) ? 'unchanged' : 'incomplete';
}

/** What is told of a file that is read again although it did not change. */
export function incompleteNotice(path: string): Notice {
  const message = 'parts of it are not in the index of the repository; it was read and stored again';
  return { kind: 'incomplete', path, message };
}
